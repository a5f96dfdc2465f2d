// The bar at the foot of the page: what plays, where it is, and the other song that it is compared with.

import { audio } from "../audio";
import { clock, element } from "../data";
import { frames } from "../paint";
import type { RunSummary, Song } from "./api";
import { announce, button } from "./dom";
import { PairPlayer, type Slot } from "./listen";

/** A song and the picture that it was made of. */
export interface Shown {
  song: Audible;
  of: string;
  thumbnail: string | null;
}

/** A song that can be heard. */
export type Audible = Song & { url: string };


const NAMES = ["A", "B"] as const;

export class Dock {
  readonly node = element("section", { class: "dock", label: "Listening", hidden: "" });
  readonly player = new PairPlayer(audio, () => this.draw(), (error) => this.say(error.message));
  private readonly shown: (Shown | undefined)[] = [undefined, undefined];
  private readonly button = button("", () => this.toggle(), { class: "round", "aria-label": "Play" });
  private readonly slots = NAMES.map((_, slot) => this.slot(slot as Slot));
  private readonly place = element("input", { type: "range", class: "place", min: 0, step: 0.1, value: 0, label: "Place in the song" });
  private readonly time = element("span", { class: "time" });
  private readonly words = element("p", { class: "quiet words", role: "status" });
  private readonly watchers = new Set<() => void>();
  private readonly follow = frames(() => this.step());
  private dragging = false;
  private choosing = false; // one song was chosen to be compared, and the other is still to come

  constructor() {
    const choice = element("div", { class: "slots", role: "group", label: "Which song is heard" }, ...this.slots);
    const row = element("div", { class: "timeline" }, this.place, this.time);
    const hint = element("p", { class: "quiet hint" }, element("kbd", { text: "X" }), " changes over");
    this.node.append(this.button, choice, row, element("div", { class: "said" }, this.words, hint), button("Close", () => this.close(), { class: "close" }));
    this.place.addEventListener("input", () => {
      this.dragging = true;
      this.tellTime(Number(this.place.value));
    });
    this.place.addEventListener("change", () => {
      this.dragging = false;
      this.player.seek(Number(this.place.value));
    });
    addEventListener("keydown", (event) => this.key(event));
  }

  private slot(slot: Slot): HTMLButtonElement {
    const made = button("", () => this.hear(slot), { class: `slot slot-${NAMES[slot].toLowerCase()}`, "aria-pressed": "false" });
    made.append(
      element("b", { class: "letter", text: NAMES[slot], "aria-hidden": "true" }),
      element("img", { alt: "" }),
      element("span", { class: "what" }, element("strong"), element("span", { class: "quiet" })),
    );
    return made;
  }

  private key(event: KeyboardEvent): void {
    if (event.key.toLowerCase() !== "x" || event.ctrlKey || event.metaKey || event.altKey || event.repeat || !this.comparing) return;
    const target = event.target as HTMLElement;
    if (document.querySelector("dialog[open]") || target.closest("textarea, select, [contenteditable]")) return;
    if (target instanceof HTMLInputElement && !["range", "checkbox", "radio", "file", "button"].includes(target.type)) return;
    event.preventDefault();
    this.hear(this.player.heard === 0 ? 1 : 0);
  }

  private hear(slot: Slot): void {
    this.player.hear(slot);
    if (this.comparing) announce(`${NAMES[slot]}: ${this.shown[slot]?.song.title}, ${this.shown[slot]?.of}`);
  }

  get comparing(): boolean {
    return this.player.songs.every((song) => song !== undefined);
  }

  /** Called whenever something changes that a song's own buttons show. */
  watch(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => this.watchers.delete(changed);
  }

  sounds(song: Audible): boolean {
    return this.player.playing && this.player.songs[this.player.heard]?.url === song.url;
  }

  /** The letter of a song's slot, where it has one. */
  letter(song: Audible): "A" | "B" | undefined {
    return NAMES[this.player.songs.findIndex((other) => other?.url === song.url)];
  }

  /** Play a song, or pause it where it plays. While two are compared, another one takes the place of the one that is heard. */
  listen(shown: Shown): void {
    if (this.sounds(shown.song)) return this.player.pause();
    const letter = this.letter(shown.song);
    if (letter) this.player.hear(NAMES.indexOf(letter) as Slot);
    else {
      if (!this.comparing) this.player.seek(0);
      this.put(this.player.heard, shown);
    }
    void this.player.play();
  }

  /** Put a song beside the one that is there (the first comes into A, later ones into B), or take it out again. */
  compare(shown: Shown): void {
    const letter = this.letter(shown.song);
    if (letter && this.comparing) return this.put(NAMES.indexOf(letter) as Slot, undefined);
    this.choosing = letter ? !this.choosing : !this.player.songs.some((song) => song);
    if (!letter) this.put(this.player.songs[0] ? 1 : 0, shown);
    else if (!this.choosing && !this.player.playing) this.put(NAMES.indexOf(letter) as Slot, undefined);
    this.draw();
  }

  /** The letter that a song's button shows: it is compared, or waits for the other one. */
  chosen(song: Audible): "A" | "B" | undefined {
    return this.comparing || this.choosing ? this.letter(song) : undefined;
  }

  private put(slot: Slot, shown: Shown | undefined): void {
    this.shown[slot] = shown;
    this.player.put(slot, shown?.song);
  }

  private close(): void {
    this.player.pause();
    this.choosing = false;
    this.shown.fill(undefined);
    for (const slot of [0, 1] as const) this.player.put(slot, undefined);
  }

  private toggle(): void {
    if (this.player.playing) this.player.pause();
    else void this.player.play();
  }

  private say(text: string): void {
    this.words.textContent = text;
  }

  private draw(): void {
    const { player } = this;
    this.node.hidden = !player.songs.some((song) => song);
    document.documentElement.classList.toggle("docked", !this.node.hidden);
    this.node.classList.toggle("comparing", this.comparing);
    this.button.classList.toggle("on", player.playing);
    this.button.classList.toggle("waiting", player.waiting);
    this.button.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    this.slots.forEach((slot, index) => this.drawSlot(slot, index as Slot));
    this.place.max = String(player.duration_s);
    if (this.comparing) this.choosing = false;
    this.say(this.comparing ? this.matched() : this.choosing ? "Now choose the song to compare it with." : "");
    for (const changed of this.watchers) changed();
    this.follow();
  }

  private drawSlot(slot: HTMLButtonElement, index: Slot): void {
    const shown = this.shown[index];
    slot.hidden = !shown;
    if (!shown) return;
    slot.setAttribute("aria-pressed", String(this.player.heard === index));
    const picture = slot.querySelector("img")!;
    picture.hidden = !shown.thumbnail;
    if (shown.thumbnail && picture.getAttribute("src") !== shown.thumbnail) picture.src = shown.thumbnail;
    slot.querySelector("strong")!.textContent = shown.song.title;
    slot.querySelector(".what .quiet")!.textContent = shown.of;
  }

  /** What was done to make both equally loud. */
  private matched(): string {
    const gains = this.player.gains.map((gain) => 20 * Math.log10(gain));
    if (this.player.songs.some((song) => !Number.isFinite(song?.loudness_lufs))) return "Loudness not matched: one song is too quiet or short to measure.";
    const down = gains.findIndex((gain) => gain < -0.05);
    return down < 0 ? "Equally loud." : `Equally loud: ${NAMES[down]} is turned down by ${(-gains[down]).toFixed(1)} dB.`;
  }

  private step(): boolean {
    if (!this.dragging) {
      const now = this.player.position_s;
      this.place.value = String(now);
      this.tellTime(now);
    }
    return this.player.playing;
  }

  private tellTime(seconds: number): void {
    const text = `${clock(seconds)} / ${clock(Math.round(this.player.duration_s))}`;
    if (this.time.textContent === text) return;
    this.time.textContent = text;
    this.place.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(Math.round(this.player.duration_s))}`);
  }
}

/** The songs of a run that can be heard, as lines. */
export function songRows(dock: Dock, run: RunSummary): HTMLElement[] {
  const audible = run.songs.filter((song): song is Audible => song.url !== null);
  return audible.map((song) => songRow(dock, { song, of: run.title, thumbnail: run.thumbnail }));
}

/** A song's line wherever it is listed: play, title, length, and the way into the comparison. */
function songRow(dock: Dock, shown: Shown): HTMLElement {
  const { song } = shown;
  const play = button("", () => dock.listen(shown), { class: "round small" });
  const compare = button("Compare", () => dock.compare(shown), { class: "compare", "aria-pressed": "false" });
  const row = element(
    "li",
    { class: "song-row" },
    play,
    element("span", { class: "what" }, element("strong", { text: song.title }), element("span", { class: "quiet", text: facts(song) })),
    compare,
  );
  const draw = () => {
    if (!row.isConnected && drawn) return forget();
    drawn = true;
    const letter = dock.chosen(song);
    const sounds = dock.sounds(song);
    play.classList.toggle("on", sounds);
    play.setAttribute("aria-label", `${sounds ? "Pause" : "Play"} ${song.title}, ${shown.of}`);
    row.classList.toggle("sounds", sounds);
    compare.textContent = letter ?? "Compare";
    compare.dataset.slot = letter ?? "";
    compare.setAttribute("aria-pressed", String(letter !== undefined));
    compare.setAttribute("aria-label", `${letter ? `${letter} of the comparison` : "Compare"}: ${song.title}, ${shown.of}`);
  };
  let drawn = false;
  const forget = dock.watch(draw);
  draw();
  return row;
}

function facts(song: Song): string {
  const length = clock(Math.round(song.duration_s));
  return song.current ? length : `${length} · played by an earlier band`;
}
