"""Picture -> Scene. The table of engines; each is imported on first use."""

from core.engines import EngineEntry, EngineTable

VISION_ENGINES = EngineTable(
    "vision",
    {
        "embedded": EngineEntry(
            "phase1_sound.vision.engines.embedded:EmbeddedVision",
            "classical picture analysis: regions by colour and texture; recognises no objects",
        ),
        "qwen": EngineEntry(
            "phase1_sound.vision.engines.qwen:QwenVision",
            "Qwen2.5-VL on this machine, its answers held to the schema: qwen, qwen:3B or qwen:FOLDER; wants a GPU",
            extra="models",
            gpu=True,
        ),
        "openai-http": EngineEntry(
            "phase1_sound.vision.engines.openai_http:OpenAIHttpVision",
            "a vision-language model on a server (vLLM, SGLang, Ollama, llama.cpp, hosted): openai-http:URL?model=NAME; "
            "the picture is sent there",
            needs_argument="a server's address and a model, http://HOST:PORT/v1?model=NAME",
            key_variable="PHOTONE_API_KEY",
        ),
        "sidecar": EngineEntry(
            "phase1_sound.vision.engines.sidecar:SidecarVision",
            "a scene.json written by hand: sidecar:scene.json",
            needs_argument="the path of a scene.json",
        ),
    },
)
