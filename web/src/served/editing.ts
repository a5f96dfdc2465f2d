// What of a scene was changed by hand, what follows from it, and how it goes on top of a scene that has changed meanwhile. Pure.

import type { Effect, Role, Scene } from "./api";

/** One field of one source, or of one of its variants. */
export interface Edit {
  source: number;
  variant: number | null;
  field: "name" | "material" | "timbre" | "mapping_to_music_instrument";
  before: unknown;
  after: unknown;
}

const same = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);

/** The words of a timbre, as a user writes them: separated by commas. */
export const readWords = (text: string): string[] => [
  ...new Set(
    text
      .split(",")
      .map((word) => word.trim().replace(/\s+/g, " "))
      .filter(Boolean),
  ),
];

export function editsBetween(before: Scene, after: Scene): Edit[] {
  const edits: Edit[] = [];
  const note = (source: number, variant: number | null, field: Edit["field"], old: unknown, now: unknown) => {
    if (!same(old, now)) edits.push({ source, variant, field, before: old, after: now });
  };
  before.sound_sources.forEach((old, source) => {
    const now = after.sound_sources[source];
    note(source, null, "name", old.name, now.name);
    note(source, null, "material", old.material, now.material);
    old.variants.forEach((variant, index) => {
      note(source, index, "timbre", variant.timbre, now.variants[index].timbre);
      note(source, index, "mapping_to_music_instrument", variant.mapping_to_music_instrument, now.variants[index].mapping_to_music_instrument);
    });
  });
  return edits;
}

/** A copy of a scene with edits on it, and the edits that found something else there than what they changed. */
export function withEdits(scene: Scene, edits: Edit[]): { scene: Scene; left: Edit[] } {
  const changed = structuredClone(scene);
  const left = edits.filter((edit) => {
    const source = changed.sound_sources[edit.source] as unknown as Record<string, unknown> | undefined;
    const variants = source?.variants as Record<string, unknown>[] | undefined;
    const place = edit.variant === null ? source : variants?.[edit.variant];
    if (!place || !same(place[edit.field], edit.before)) return true;
    place[edit.field] = edit.after;
    return false;
  });
  return { scene: changed, left };
}

export interface Consequences {
  sounds: Effect[]; // made again
  roles: Role[]; // whose instrument is built of one of them
  recast: boolean; // somebody was asked to play something else
}

/** What has to be made again: a sound hangs on its source's name and material and on its own words, a role only on the casting. */
export function consequences(edits: Edit[], effects: Effect[]): Consequences {
  const touches = (edit: Edit, effect: Effect) =>
    edit.source === effect.source_index && (edit.variant === null || (edit.field === "timbre" && edit.variant === effect.variant_index));
  const sounds = effects.filter((effect) => edits.some((edit) => touches(edit, effect)));
  const roles = [...new Set(sounds.flatMap((effect) => effect.roles))];
  return { sounds, roles, recast: edits.some((edit) => edit.field === "mapping_to_music_instrument") };
}
