// The song: transport, waveform, stems with mute, solo and level, and the score that runs along.

import { audio, awake } from "./audio";
import { clock, element, isBlack, levels, media, type Role, type RunData, type Score, type Song } from "./data";
import { canvas, colour, frames, still } from "./paint";
import { Desk, StemPlayer } from "./stems";

const WINDOW_S = 9;
const DRUM_ROWS = 6;
const DRUM_ROW = 8; // pixels

let current: SongView | undefined;
export const pauseSong = (): void => current?.pause();
export const toggleSong = (): void => void current?.toggle();

/** The song that is shown: what of it is heard. Levels are its parts' meters, 0..1. */
export interface Playing {
  title: string;
  playing: boolean;
  waiting: boolean;
  position: number;
  duration: number;
  levels: [part: string, level: number][];
}

const watchers: ((now: Playing) => void)[] = [];

/** Be told on every frame while a song plays, and whenever it begins, stops or is another one. */
export function watchSong(watcher: (now: Playing) => void): void {
  watchers.push(watcher);
  if (current) watcher(current.now);
}

export function setUpSongs(run: RunData, nameOf: (part: string) => string, onPlay: () => void): void {
  const articles = [...document.querySelectorAll<HTMLElement>(".song")];
  const views = articles.map((article, index) => new SongView(article, run.songs[index], nameOf, onPlay));
  const tabs = articles.map((article, index) => {
    const title = article.querySelector("h3")!.textContent!;
    const tab = element("button", { type: "button", "aria-pressed": "false", text: title });
    tab.addEventListener("click", () => show(index));
    return tab;
  });
  const show = (index: number) => {
    current?.pause();
    current = views[index];
    articles.forEach((article, which) => (article.hidden = which !== index));
    tabs.forEach((tab, which) => tab.setAttribute("aria-pressed", String(which === index)));
    current.open();
    current.announce();
  };
  document.querySelector(".songs")!.classList.toggle("several", articles.length > 1);
  if (articles.length > 1) document.querySelector(".songs")!.prepend(element("div", { class: "choices", role: "group", label: "Songs" }, ...tabs));
  if (articles.length) show(0);
}

class SongView {
  private player?: StemPlayer;
  private score?: Score;
  private opened = false;
  private readonly body = element("div", { class: "deck" });
  private readonly button = element("button", { type: "button", class: "round big", label: "Play the song" });
  private readonly time = element("span", { class: "time" });
  private readonly wave = element("canvas", { class: "wave", role: "slider", tabindex: 0, "aria-label": "Place in the song", "aria-valuemin": 0 });
  private readonly roll = element("canvas", { class: "roll", role: "img", "aria-label": "The score as a piano roll" });
  private readonly status = element("p", { class: "quiet", role: "status" });
  private readonly meters: { part: string; analyser: AnalyserNode; bar: HTMLElement; level: number }[] = [];
  private drawWave = () => {};
  private drawRoll = () => {};
  private shown = -1;
  private readonly follow = frames(() => this.step());

  constructor(
    private readonly article: HTMLElement,
    private readonly song: Song,
    private readonly nameOf: (part: string) => string,
    private readonly onPlay: () => void,
  ) {}

  /** Load the score and build what is to be seen; sound is loaded when somebody wants to hear it. */
  open(): void {
    if (this.opened) return;
    this.opened = true;
    this.article.querySelector(".plain")!.replaceChildren();
    const top = element("div", { class: "transport" }, this.button, element("div", { class: "wave-box" }, this.wave), this.time);
    this.body.append(top, this.roll, this.status);
    this.article.querySelector("h3")!.after(this.body);
    this.wave.setAttribute("aria-valuemax", String(Math.floor(this.song.duration_s)));
    this.button.addEventListener("click", () => void this.toggle());
    this.tell();
    media<Score>(this.song.score).then(
      (score) => this.build(score),
      (error: Error) => (this.status.textContent = error.message),
    );
  }

  private build(score: Score): void {
    this.score = score;
    this.seekable();
    const shapes = score.parts.map((part) => [part, levels(score.shapes[part])] as const);
    this.drawWave = canvas(this.wave, (paint, width, height) => drawWave(paint, width, height, shapes, this.position / this.song.duration_s));
    const notes = rollOf(score);
    if (notes.length) this.drawRoll = canvas(this.roll, (paint, width, height) => drawRoll(paint, width, height, notes, score, this.position));
    else {
      this.roll.hidden = true;
      this.status.textContent = "The score does not lie beside this song, so there is no piano roll: make the run again.";
    }
    this.body.append(element("div", { class: "strips", role: "group", label: "Stems" }, ...score.parts.map((part) => this.strip(part))));
    this.drawWave();
    this.drawRoll();
  }

  private desk?: Desk;

  /** The audio side, made on the first wish to hear. */
  private sound(): StemPlayer {
    if (this.player) return this.player;
    const ctx = audio();
    this.desk = new Desk(ctx, this.score!.parts, ctx.destination);
    this.player = new StemPlayer(ctx, this.song, this.desk, () => this.tell());
    for (const strip of this.body.querySelectorAll<HTMLElement>(".strip")) {
      const part = strip.dataset.part!;
      const analyser = new AnalyserNode(ctx, { fftSize: 1024 });
      this.desk.inputs.get(part)!.connect(analyser);
      this.meters.push({ part, analyser, bar: strip.querySelector<HTMLElement>(".meter i")!, level: 0 });
      this.desk.set(part, {
        mute: strip.querySelector(".mute")!.getAttribute("aria-pressed") === "true",
        solo: strip.querySelector(".solo")!.getAttribute("aria-pressed") === "true",
        level: Number(strip.querySelector("input")!.value),
      });
    }
    this.desk.settle();
    return this.player;
  }

  private strip(part: string): HTMLElement {
    const name = this.nameOf(part);
    const press = (letter: string, what: string, change: (on: boolean) => object) => {
      const button = element("button", { type: "button", class: what, "aria-pressed": "false", label: `${what} ${part}`, title: `${what} ${part}`, text: letter });
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        this.desk?.set(part, change(on));
      });
      return button;
    };
    const level = element("input", { type: "range", min: 0, max: 1.5, step: 0.01, value: 1, label: `level of ${part}` });
    const say = () => {
      const gain = Number(level.value);
      level.setAttribute("aria-valuetext", gain > 0 ? `${(20 * Math.log10(gain)).toFixed(1)} dB` : "off");
    };
    level.addEventListener("input", () => {
      this.desk?.set(part, { level: Number(level.value) });
      say();
    });
    level.addEventListener("dblclick", () => {
      level.value = "1";
      level.dispatchEvent(new Event("input"));
    });
    say();
    return element(
      "div",
      { class: `strip ${part}`, "data-part": part },
      element("span", { class: "who" }, element("b", { text: part }), element("span", { class: "quiet", text: name })),
      press("M", "mute", (on) => ({ mute: on })),
      press("S", "solo", (on) => ({ solo: on })),
      level,
      element("span", { class: "meter", "aria-hidden": "true" }, element("i")),
    );
  }

  private seekable(): void {
    const seek = (seconds: number) => {
      this.sound().seek(seconds);
      this.step();
    };
    const at = (event: PointerEvent) => {
      const place = this.wave.getBoundingClientRect();
      seek((this.song.duration_s * (event.clientX - place.left)) / place.width);
    };
    this.wave.addEventListener("pointerdown", (event) => {
      this.wave.setPointerCapture(event.pointerId);
      at(event);
    });
    this.wave.addEventListener("pointermove", (event) => this.wave.hasPointerCapture(event.pointerId) && event.buttons && at(event));
    this.wave.addEventListener("keydown", (event) => {
      const end = this.song.duration_s;
      const steps: Record<string, number> = { ArrowRight: 5, ArrowUp: 5, ArrowLeft: -5, ArrowDown: -5, PageUp: 20, PageDown: -20, Home: -end, End: end };
      if (!(event.key in steps)) return;
      event.preventDefault();
      seek(Math.min(end - 0.1, Math.max(0, this.position + steps[event.key])));
    });
    this.button.addEventListener("pointerenter", () => this.sound().prepare(), { once: true });
  }

  private get position(): number {
    return this.player?.position ?? 0;
  }

  get now(): Playing {
    return {
      title: this.song.title,
      playing: this.player?.playing ?? false,
      waiting: this.player?.waiting ?? false,
      position: this.position,
      duration: this.song.duration_s,
      levels: this.meters.map(({ part, level }) => [part, level]),
    };
  }

  announce(): void {
    for (const watcher of watchers) watcher(this.now);
  }

  async toggle(): Promise<void> {
    if (!this.score) return;
    const player = this.sound();
    if (player.playing) return player.pause();
    this.onPlay();
    try {
      await awake();
      await player.play();
    } catch (error) {
      this.status.textContent = (error as Error).message;
    }
  }

  pause(): void {
    if (this.player?.playing) this.player.pause();
  }

  private tell(): void {
    const playing = this.player?.playing ?? false;
    this.button.classList.toggle("on", playing);
    this.button.classList.toggle("waiting", this.player?.waiting ?? false);
    this.button.setAttribute("aria-label", playing ? "Pause the song" : "Play the song");
    this.follow();
    if (current === this) this.announce();
  }

  private step(): boolean {
    const second = Math.floor(this.position);
    if (second !== this.shown) {
      this.shown = second;
      this.time.textContent = `${clock(second)} / ${clock(Math.round(this.song.duration_s))}`;
      this.wave.setAttribute("aria-valuenow", String(second));
      this.wave.setAttribute("aria-valuetext", `${clock(second)} of ${clock(Math.round(this.song.duration_s))}`);
    }
    this.drawWave();
    this.drawRoll();
    const moving = this.meter();
    if (current === this) this.announce();
    return (this.player?.playing ?? false) || moving;
  }

  private readonly block = new Float32Array(1024);

  private meter(): boolean {
    let moving = false;
    for (const meter of this.meters) {
      meter.analyser.getFloatTimeDomainData(this.block);
      let sum = 0;
      for (const sample of this.block) sum += sample * sample;
      const level = Math.max(0, 1 + (10 * Math.log10(sum / this.block.length + 1e-9)) / 60);
      meter.level = Math.max(level, meter.level - 0.02);
      meter.bar.style.scale = `${meter.level.toFixed(3)} 1`;
      moving ||= meter.level > 0;
    }
    return moving;
  }
}

function drawWave(paint: CanvasRenderingContext2D, width: number, height: number, shapes: (readonly [string, Float32Array])[], share: number): void {
  const columns = Math.max(1, Math.floor(width / 3));
  const middle = height / 2;
  for (let column = 0; column < columns; column++) {
    const index = Math.floor((column * shapes[0][1].length) / columns);
    const total = shapes.reduce((sum, [, shape]) => sum + shape[index] ** 2, 0);
    const tall = Math.max(1.5, 0.86 * height * Math.min(1, Math.sqrt(total)));
    let y = middle - tall / 2;
    paint.globalAlpha = column / columns < share ? 1 : 0.36;
    for (const [part, shape] of shapes) {
      const own = total ? (tall * shape[index] ** 2) / total : tall / shapes.length;
      paint.fillStyle = colour(part);
      paint.fillRect((column * width) / columns, y, width / columns - 1, own);
      y += own;
    }
  }
  paint.globalAlpha = 1;
  paint.fillStyle = colour("ink");
  paint.fillRect(Math.min(width - 2, share * width), 0, 2, height);
}

interface Note {
  role: Role;
  begin: number;
  end: number;
  key: number;
  velocity: number;
}

function rollOf(score: Score): Note[] {
  const notes = Object.entries(score.notes).flatMap(([role, flat]) => {
    const found: Note[] = [];
    for (let at = 0; at < flat.length; at += 4) {
      found.push({ role: role as Role, begin: flat[at] / 1000, end: (flat[at] + flat[at + 1]) / 1000, key: flat[at + 2], velocity: flat[at + 3] });
    }
    return found;
  });
  return notes.sort((one, two) => one.begin - two.begin);
}

function drawRoll(paint: CanvasRenderingContext2D, width: number, height: number, notes: Note[], score: Score, now: number): void {
  const melodic = notes.filter((note) => note.role !== "drums");
  const low = Math.min(...melodic.map((note) => note.key), 60) - 2;
  const high = Math.max(...melodic.map((note) => note.key), 64) + 2;
  const drums = notes.length > melodic.length;
  const foot = drums ? DRUM_ROWS * DRUM_ROW + 10 : 0;
  const row = (height - foot) / (high - low + 1);
  // It glides under a line; or it turns pages, for who wants no motion.
  const from = still() ? Math.floor(now / WINDOW_S) * WINDOW_S : now - WINDOW_S * 0.28;
  const x = (time: number) => ((time - from) / WINDOW_S) * width;
  paint.fillStyle = colour("shade");
  for (let key = low; key <= high; key++) if (isBlack(key)) paint.fillRect(0, (high - key) * row, width, row);
  bars(paint, x, height, from, score);
  for (const note of notes) {
    if (note.begin > from + WINDOW_S) break;
    if (note.end < from) continue;
    const sounds = note.begin <= now && now < Math.max(note.end, note.begin + 0.12);
    paint.globalAlpha = sounds ? 1 : 0.42 + 0.25 * (note.velocity / 127);
    paint.fillStyle = colour(note.role);
    if (note.role === "drums") {
      const y = height - foot + 6 + (DRUM_ROWS - 1 - (note.key % DRUM_ROWS)) * DRUM_ROW;
      paint.beginPath();
      paint.arc(x(note.begin) + 2, y + 2, sounds ? 4.6 : 3, 0, 7);
      paint.fill();
    } else {
      const long = Math.max(3, x(note.end) - x(note.begin) - 1.5);
      const tall = Math.max(4.5, row - 1) + (sounds ? 1.5 : 0);
      paint.beginPath();
      paint.roundRect(x(note.begin), (high - note.key + 0.5) * row - tall / 2, long, tall, 2.5);
      paint.fill();
    }
  }
  paint.globalAlpha = 1;
  paint.fillStyle = colour("ink");
  paint.fillRect(x(now) - 0.75, 0, 1.5, height);
}

function bars(paint: CanvasRenderingContext2D, x: (time: number) => number, height: number, from: number, score: Score): void {
  const bar = (score.bars_ms ?? 0) / 1000;
  if (bar < 0.2) return;
  paint.fillStyle = colour("line");
  for (let time = Math.max(0, Math.ceil(from / bar) * bar); time < from + WINDOW_S; time += bar) paint.fillRect(x(time), 0, 1, height);
}
