import { SAMPLE_RATE, softLimit } from "./audio";
import { media, readRun, type InstrumentDocument, type RunData, type Score } from "./data";
import { hushEffects, setUpEffects } from "./effects";
import { setUpNow } from "./now";
import { setUpPicture } from "./picture";
import { Band, setUpPlay } from "./play";
import { decodeSamples, Sampler } from "./sampler";
import { pauseSong, setUpSongs } from "./song";
import { decodeStretch, Desk, startStretch } from "./stems";

const run = readRun();
const roles = new Map(run.band.flatMap((player) => player.effects.map((effect) => [effect, player.role] as const)));
const roleOf = (effect: number) => roles.get(effect);

/** The sources that play a part, in words. */
function nameOf(part: string): string {
  const effects = run.band.find((player) => player.role === part)?.effects ?? [];
  const names = effects.map((effect) => run.sources.find((source) => source.effects.includes(effect))?.name);
  return [...new Set(names.filter((name) => name !== undefined))].join(", ") || "the space around them";
}

document.documentElement.classList.add("js");
const band = new Band(run);
setUpPicture(run, roleOf);
setUpEffects(run, roleOf, pauseSong);
setUpSongs(run, nameOf, hushEffects);
setUpNow();
setUpPlay(run, band, nameOf, hushEffects);
performance.mark("photone-ready");

type Stroke = [time_s: number, key: number, velocity: number, duration_s: number];

/** Strokes played by an instrument into a buffer, by the same code that plays them live. */
async function renderNotes(role: string, strokes: Stroke[], seconds: number): Promise<AudioBuffer> {
  const ctx = new OfflineAudioContext(2, Math.round(seconds * SAMPLE_RATE), SAMPLE_RATE);
  const doc = await media<InstrumentDocument>(band.player(role).media);
  const sampler = new Sampler(ctx, doc, await decodeSamples(ctx, doc), softLimit(ctx, ctx.destination));
  const events = strokes.flatMap(([time, key, velocity, duration]) => [
    { time, play: () => sampler.noteOn(key, velocity, time) },
    { time: time + duration, play: () => sampler.noteOff(key, time + duration) },
  ]);
  for (const event of events.sort((one, two) => one.time - two.time)) event.play();
  return ctx.startRendering();
}

/** A stretch of a song with gains for its parts (1 where none is given), by the same code that plays it live. */
async function renderSong(index: number, from_s: number, seconds: number, gains: Record<string, number> = {}): Promise<AudioBuffer> {
  const song: RunData["songs"][number] = run.songs[index];
  const ctx = new OfflineAudioContext(2, Math.round(seconds * SAMPLE_RATE), SAMPLE_RATE);
  const desk = new Desk(ctx, (await media<Score>(song.score)).parts, ctx.destination);
  for (const [part, level] of Object.entries(gains)) desk.set(part, { level });
  desk.settle();
  const stretch_s = song.chunk_frames / song.sample_rate;
  for (let chunk = Math.floor(from_s / stretch_s); chunk * stretch_s < from_s + seconds && chunk < song.chunks.length; chunk++) {
    const begins = Math.max(from_s, chunk * stretch_s);
    startStretch(ctx, await decodeStretch(ctx, song, chunk), desk, begins - from_s, begins - chunk * stretch_s);
  }
  return ctx.startRendering();
}

// For the console and for tests.
(globalThis as Record<string, unknown>).photone = { run, renderNotes, renderSong };
