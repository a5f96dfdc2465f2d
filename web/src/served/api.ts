// The player's JSON API, version 1: what it gives, and one way to ask. Its OpenAPI document is at /api/v1/openapi.json.

const ROOT = "/api/v1";

export type Role = "keyboard" | "bass" | "guitar" | "drums";
export const ROLES: readonly Role[] = ["keyboard", "bass", "guitar", "drums"];

export interface Song {
  name: string;
  title: string;
  url: string | null; // none where only stems were asked for
  duration_s: number;
  loudness_lufs: number | null;
  preview: boolean;
  current: boolean; // false: an earlier band played it
}

export interface RunSummary {
  id: string;
  name: string;
  title: string;
  url: string;
  thumbnail: string | null;
  picture: string | null;
  made_at: string;
  sources: string[];
  roles: Partial<Record<Role, string>>;
  songs: Song[];
  problem: string | null; // what is damaged: only names, pictures and the time can then be relied on
}

export interface Variant {
  play_method: string;
  timbre: string[];
  mapping_to_music_instrument: Role | null;
  confidence: number;
}

export interface Source {
  name: string;
  material: string;
  variants: Variant[];
  box?: [number, number, number, number] | null;
  evidence?: string | null;
}

export interface Scene {
  scene_description: string;
  mood_description: string;
  sound_sources: Source[];
  [rest: string]: unknown;
}

export interface Effect {
  number: number;
  name: string;
  source: string;
  play_method: string;
  roles: Role[];
  url: string;
  seed: number;
  made_again: boolean;
  verdict: string[];
  duration_s: number;
  source_index: number;
  variant_index: number;
}

export interface RunDetail extends RunSummary {
  scene: Scene | null;
  scene_sha256: string | null;
  scene_edited: boolean;
  effects: Effect[];
  editable: boolean;
  not_editable: string | null;
}

export interface Stage {
  name: string;
  state: "waiting" | "running" | "done" | "kept" | "failed" | "cancelled";
  done: number | null;
  of: number | null;
}

export interface Job {
  id: string;
  kind: "make" | "song" | "scene" | "effect";
  name: string;
  state: "waiting" | "running" | "cancelling" | "done" | "failed" | "cancelled";
  stages: Stage[];
  progress: number;
  message: string | null;
  run: string | null;
  run_url: string | null;
  song: string | null;
}

export interface Score {
  name: string;
  title: string;
  composer: string;
  mood: string;
  duration_s: number;
}

export interface Look {
  name: string;
  title: string;
}

export interface About {
  can_make: boolean;
  why_not: string | null;
  looks: Look[];
}

export interface Runs {
  total: number;
  runs: RunSummary[];
}

/** What went wrong, in words for the person in front of the page. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

async function ask<T>(method: string, path: string, body?: FormData | object, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["X-Photone"] = "1";
  if (body && !(body instanceof FormData)) headers["Content-Type"] = "application/json";
  const sent = body instanceof FormData || body === undefined ? body : JSON.stringify(body);
  let answer: Response;
  try {
    answer = await fetch(ROOT + path, { method, headers, body: sent, signal, credentials: "same-origin" });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new ApiError("photone does not answer. Is `photone up` still running? Start it, then try again.", 0);
  }
  const value: unknown = await answer.json().catch(() => undefined);
  if (!answer.ok) throw new ApiError(wordsOf(value) ?? `The server said ${answer.status}. Try again.`, answer.status);
  return value as T;
}

function wordsOf(value: unknown): string | undefined {
  const detail = (value as { detail?: unknown } | undefined)?.detail;
  return typeof detail === "string" ? detail : undefined;
}

function form(fields: Record<string, string | number | boolean | Blob | undefined>): FormData {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === "") continue;
    if (value instanceof File) made.append(name, value, value.name);
    else made.append(name, value instanceof Blob ? value : String(value));
  }
  return made;
}

/** A bundled score by name, or a MIDI file of one's own; and how it is to be played. */
export interface Playing {
  score?: string;
  midi?: File;
  look?: string;
  preview_s?: number;
}

export interface Making extends Playing {
  picture: File;
  seed?: number;
  compact?: boolean;
}

const fields = (asked: Playing | Making) => form(asked as unknown as Record<string, string | number | boolean | Blob>);
const run = (id: string) => `/runs/${encodeURIComponent(id)}`;

export const listRuns = (search: string, sort: string, limit: number, signal?: AbortSignal) =>
  ask<Runs>("GET", `/runs?${new URLSearchParams({ search, sort, limit: String(limit), offset: "0" })}`, undefined, signal);
export const readRun = (id: string) => ask<RunDetail>("GET", run(id));
export const startRun = (asked: Making) => ask<Job>("POST", "/runs", fields(asked));
export const swapScore = (id: string, asked: Playing) => ask<Job>("POST", `${run(id)}/songs`, fields(asked));
export const changeScene = (id: string, scene: Scene, base_sha256: string) => ask<Job>("PUT", `${run(id)}/scene`, { scene, base_sha256 });
export const remakeEffect = (id: string, number: number) => ask<Job>("POST", `${run(id)}/effects/${number}`, { seed: null });
export const readJob = (id: string) => ask<Job>("GET", `/jobs/${encodeURIComponent(id)}`);
export const cancelJob = (id: string) => ask<unknown>("DELETE", `/jobs/${encodeURIComponent(id)}`);

export const restoreScene = (id: string) => ask<Job>("DELETE", `${run(id)}/scene`);
export const listJobs = () => ask<{ jobs: Job[] }>("GET", "/jobs").then((found) => found.jobs);

// What does not change while the player runs is asked for once.
const once = <T>(ask: () => Promise<T>) => {
  let known: Promise<T> | undefined;
  return () => {
    known ??= ask();
    known.catch(() => (known = undefined));
    return known;
  };
};

export const about = once(() => ask<About>("GET", "/about"));
export const listScores = once(() => ask<Score[]>("GET", "/scores"));
