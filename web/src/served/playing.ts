// Which score is played, and how: the same choice for a new run and for a swap.

import { clock } from "../data";
import type { Look, Playing, Score } from "./api";
import { element, fileButton, freshId, isScore, SCORES } from "./dom";

const LENGTHS = [
  ["", "the whole score"],
  ["60", "the first minute"],
  ["20", "the first 20 seconds"],
  ["2", "the first 2 seconds"],
] as const;

export class PlayingFields {
  readonly node: HTMLElement;
  private own?: File;
  private readonly group = freshId("score");
  private readonly scores = element("div", { class: "scores" });
  private readonly ownChoice = element("input", { type: "radio", name: this.group, value: "", disabled: "" });
  private readonly ownName = element("span", { class: "quiet", text: "a .mid file" });
  private readonly look = element("select");
  private readonly length = element("select", {}, ...LENGTHS.map(([value, text]) => element("option", { value, text })));

  constructor(scores: Score[], looks: Look[], played: string[] = []) {
    const known = played.map((name) => name.replace(/-preview$/, ""));
    const fresh = scores.findIndex((score) => !known.includes(score.name));
    this.scores.append(...scores.map((score, index) => this.choice(score, index === Math.max(0, fresh))), this.ownFile());
    this.look.append(...looks.map((look) => element("option", { value: look.name, text: look.name })));
    const fieldset = element("fieldset", {}, element("legend", { text: "Score" }), this.scores);
    const look = field("Mix", this.look, " ");
    const say = () => (look.lastElementChild!.textContent = looks[this.look.selectedIndex]?.title ?? "");
    this.look.addEventListener("change", say);
    say();
    const rest = element("div", { class: "fields" }, look, field("How much of it", this.length));
    this.node = element("div", { class: "playing" }, fieldset, rest);
  }

  private choice(score: Score, chosen: boolean): HTMLElement {
    const input = element("input", { type: "radio", name: this.group, value: score.name });
    input.checked = chosen;
    const words = element("span", { class: "what" }, element("strong", { text: score.title }), element("span", { class: "quiet", text: `${score.composer} · ${score.mood} · ${clock(Math.round(score.duration_s))}` }));
    return element("label", { class: "score" }, input, words);
  }

  private ownFile(): HTMLElement {
    const words = element("span", { class: "what" }, element("strong", { text: "Your own MIDI" }), this.ownName);
    const label = element("label", { class: "score" }, this.ownChoice, words);
    return element("div", { class: "own" }, label, fileButton("Choose…", SCORES, (file) => this.take(file)));
  }

  /** Take a MIDI file of the user's own; says whether it is one. */
  take(file: File): boolean {
    if (!isScore(file)) return false;
    this.own = file;
    this.ownName.textContent = file.name;
    this.ownChoice.disabled = false;
    this.ownChoice.checked = true;
    return true;
  }

  get value(): Playing {
    const chosen = this.scores.querySelector<HTMLInputElement>("input[type=radio]:checked");
    const what = chosen === this.ownChoice ? { midi: this.own } : { score: chosen?.value };
    return { ...what, look: this.look.value || undefined, preview_s: Number(this.length.value) || undefined };
  }
}

/** A control with its name above it. */
export function field(name: string, control: HTMLElement, hint = ""): HTMLElement {
  const label = element("label", { class: "field" }, element("span", { text: name }), control);
  if (hint) {
    const id = freshId("hint");
    control.setAttribute("aria-describedby", id);
    label.append(element("span", { class: "quiet", id, text: hint }));
  }
  return label;
}
