// What the page is given: facts in the document, and larger things in scripts that are loaded when they are wanted.

export type Role = "keyboard" | "bass" | "guitar" | "drums";

export interface Source {
  name: string;
  box: [number, number, number, number] | null;
  effects: number[];
}

export interface Player {
  role: Role;
  name: string;
  media: string;
  keys: [number, number];
  effects: number[];
}

export interface Song {
  title: string;
  duration_s: number;
  sample_rate: number;
  chunk_frames: number;
  score: string;
  chunks: string[];
}

export interface RunData {
  effects_media: string;
  effects: Record<string, number>;
  sources: Source[];
  band: Player[];
  songs: Song[];
}

export interface EffectPicture {
  wave: string;
  spectrum: string;
}

export interface Score {
  parts: string[];
  shapes: Record<string, string>;
  notes: Partial<Record<Role, number[]>>;
  tempo_bpm?: number;
  metre?: string;
  bars_ms?: number;
}

export interface Zone {
  sample: number;
  root_key: number;
  tune_cents: number;
  lo_key: number;
  hi_key: number;
  lo_velocity: number;
  hi_velocity: number;
  seq_position: number;
  loop_start?: number;
  loop_end?: number;
  cutoff_hz?: number;
  exclusive_class: number;
  one_shot: boolean;
}

export interface InstrumentDocument {
  role: Role;
  sample_rate: number;
  lead_frames: number;
  velocity_crossfade: number;
  pan: number;
  envelope: { attack_s: number; decay_s: number; sustain: number; release_s: number };
  zones: Zone[];
  samples: string[];
  names?: Record<string, string>;
}

export const readRun = (): RunData => JSON.parse(document.getElementById("run")!.textContent!);

const waiting = new Map<string, (value: unknown) => void>();
const asked = new Map<string, Promise<unknown>>();

// Each media script calls this with its own name.
(globalThis as Record<string, unknown>).photoneMedia = (name: string, value: unknown) => {
  waiting.get(name)?.(value);
  waiting.delete(name);
};

/** Load page/<name>.js; a page on disk may load scripts, not fetch files. `keep`: answer from memory the next time. */
export function media<T>(name: string, keep = true): Promise<T> {
  const known = asked.get(name);
  if (known) return known as Promise<T>;
  const promise = new Promise<T>((resolve, reject) => {
    waiting.set(name, resolve as (value: unknown) => void);
    const script = document.createElement("script");
    script.src = `page/${encodeURIComponent(name)}.js`;
    script.async = true;
    script.onload = () => {
      script.remove();
      if (waiting.has(name)) reject(new Error(`page/${name}.js holds something else`));
    };
    script.onerror = () => {
      script.remove();
      waiting.delete(name);
      asked.delete(name);
      reject(new Error(`page/${name}.js is missing: make the run again`));
    };
    document.head.append(script);
  });
  asked.set(name, promise);
  const forget = () => asked.delete(name);
  if (!keep) promise.then(forget, forget);
  return promise;
}

const LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const LEVEL_OF = new Map([...LEVELS].map((character, level) => [character, level / 63]));

/** One character a value, 0..1. */
export const levels = (text: string): Float32Array => Float32Array.from(text, (character) => LEVEL_OF.get(character) ?? 0);

export function bytes(base64: string): ArrayBuffer {
  const text = atob(base64);
  const out = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) out[index] = text.charCodeAt(index);
  return out.buffer;
}

export const clock = (seconds: number): string => {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};

const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
export const keyName = (key: number): string => `${NAMES[key % 12]}${Math.floor(key / 12) - 1}`;
export const isBlack = (key: number): boolean => [1, 3, 6, 8, 10].includes(key % 12);

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  options: { class?: string; text?: string; label?: string; [attribute: string]: unknown } = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (name === "class") made.className = String(value);
    else if (name === "text") made.textContent = String(value);
    else if (name === "label") made.setAttribute("aria-label", String(value));
    else made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}
