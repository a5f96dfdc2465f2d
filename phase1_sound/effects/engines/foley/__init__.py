"""A foley synthesiser: materials, gestures and words -> sound, without a model.

`parsing` turns words into a `Brief`, `gestures` names the recipe, the recipe draws its parameters and renders
itself (`impacts`, `friction`, `particles`, `liquids`, `air`, `textures`, `machines`, `animals`), `engine`
puts the result in a room.
"""
