// The scene as a form: beside the picture, a card for each source. Only what hangs on a change is made again.

import { element } from "../data";
import { ApiError, changeScene, readRun, restoreScene, ROLES, type Effect, type Job, type Role, type RunDetail, type Scene } from "./api";
import { busy, button, listed, messageOf, plural, Problem } from "./dom";
import { consequences, editsBetween, readWords, withEdits, type Edit } from "./editing";
import { field } from "./playing";

const PHRASE = 120;

type Again = (effect: Effect, pressed: HTMLButtonElement) => void;

export class SceneEditor {
  readonly node = element("section", { class: "editor", "aria-labelledby": "editor-h" });
  private readonly cards = element("div", { class: "source-cards" });
  private readonly tabs = element("div", { class: "tabs", role: "tablist", label: "Sources" });
  private readonly box = element("div", { class: "box", "aria-hidden": "true", hidden: "" });
  private readonly bar = element("div", { class: "pending", hidden: "" });
  private readonly what = element("p", { role: "status" });
  private readonly problem = new Problem();
  private readonly save = button("Make the changes", () => void busy(this.save, () => this.send()), { class: "primary" });
  private readonly restore = button("Back to what was seen at first", () => void busy(this.restore, () => this.undo()));
  private base: Scene;
  private scene: Scene;
  private sent: Edit[] = []; // on their way: the scene holds them when their job is done
  private sounding?: HTMLAudioElement;
  private chosen = 0;

  constructor(
    private run: RunDetail,
    private readonly started: (job: Job) => void,
    private readonly again: Again,
  ) {
    this.base = run.scene!;
    this.scene = structuredClone(this.base);
    const lead = "Correct what the picture was taken for. A changed name, material or word makes that source's sounds again; a changed role only casts the band anew.";
    const frame = element("div", { class: "frame" }, ...(run.picture ? [element("img", { src: run.picture, alt: this.base.scene_description })] : []), this.box);
    this.bar.append(this.what, this.problem.node, element("div", { class: "actions" }, this.save, button("Discard", () => this.take(this.base))));
    const left = element("div", { class: "beside" }, element("figure", { class: "photo" }, frame), this.tabs, this.restore);
    this.tabs.addEventListener("keydown", (event) => this.step(event));
    this.node.append(
      element("h2", { id: "editor-h", text: "What it hears" }),
      element("p", { class: "lead", text: run.editable ? lead : `It cannot be changed here: ${run.not_editable ?? "nobody knows why"}.` }),
      element("div", { class: "editing" }, left, this.cards),
      this.bar,
    );
    this.draw();
  }

  get dirty(): boolean {
    return this.edits.length > 0;
  }

  private get edits(): Edit[] {
    return editsBetween(this.base, this.scene);
  }

  /** The run has changed: show its sounds, and keep what is being edited, and what was sent and has not arrived. */
  refresh(run: RunDetail): void {
    if (!run.scene) return;
    const edits = [...this.sent, ...this.edits];
    this.sent = [];
    this.run = run;
    this.base = run.scene;
    this.take(withEdits(run.scene, edits).scene);
  }

  private take(scene: Scene): void {
    this.scene = structuredClone(scene);
    this.problem.clear();
    this.draw();
  }

  private draw(): void {
    this.restore.hidden = !this.run.scene_edited || !this.run.editable;
    this.tabs.replaceChildren(...this.scene.sound_sources.map((_, index) => this.tab(index)));
    this.cards.replaceChildren(...this.scene.sound_sources.map((_, index) => this.card(index)));
    this.choose(Math.min(this.chosen, this.scene.sound_sources.length - 1));
    this.tell();
  }

  private tab(index: number): HTMLElement {
    const number = element("span", { class: `number ${this.rolesOf(index)[0] ?? "idle"}`, text: String(index + 1), "aria-hidden": "true" });
    const tab = button("", () => this.choose(index), { role: "tab", id: `edit-tab-${index}`, "aria-controls": `edit-source-${index}` });
    tab.append(number, element("span", { class: "tab-name", text: this.scene.sound_sources[index].name }));
    return tab;
  }

  private choose(index: number): void {
    this.chosen = index;
    [...this.tabs.children].forEach((tab, which) => {
      tab.setAttribute("aria-selected", String(which === index));
      (tab as HTMLElement).tabIndex = which === index ? 0 : -1;
    });
    [...this.cards.children].forEach((card, which) => ((card as HTMLElement).hidden = which !== index));
    this.point(index);
  }

  private step(event: KeyboardEvent): void {
    const count = this.scene.sound_sources.length;
    const to = { ArrowRight: this.chosen + 1, ArrowDown: this.chosen + 1, ArrowLeft: this.chosen - 1, ArrowUp: this.chosen - 1, Home: 0, End: count - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose((to + count) % count);
    (this.tabs.children[this.chosen] as HTMLElement).focus();
  }

  private card(index: number): HTMLElement {
    const source = this.scene.sound_sources[index];
    const heading = element("h3", { text: source.name });
    const name = this.text("Source", source.name, (value) => {
      source.name = value;
      heading.textContent = value;
      this.tabs.children[index].lastElementChild!.textContent = value;
    });
    const material = this.text("Material", source.material, (value) => (source.material = value));
    const evidence = source.evidence ? [element("p", { class: "quiet", text: source.evidence })] : [];
    const variants = source.variants.map((_, variant) => this.variant(index, variant));
    const options = { class: "source-card", role: "tabpanel", id: `edit-source-${index}`, "aria-labelledby": `edit-tab-${index}`, "data-source": index };
    return element("article", options, heading, ...evidence, element("div", { class: "fields" }, name, material), ...variants);
  }

  private rolesOf(index: number): Role[] {
    return this.run.effects.filter((effect) => effect.source_index === index).flatMap((effect) => effect.roles);
  }

  private variant(index: number, number: number): HTMLElement {
    const source = this.scene.sound_sources[index];
    const variant = source.variants[number];
    const effect = this.run.effects.find((each) => each.source_index === index && each.variant_index === number);
    const timbre = this.text("Timbre, in words", variant.timbre.join(", "), (value) => (variant.timbre = readWords(value)), 400);
    const role = element("select", {}, ...["", ...ROLES].map((value) => element("option", { value, text: value || "none in particular" })));
    role.value = variant.mapping_to_music_instrument ?? "";
    role.disabled = !this.run.editable;
    role.addEventListener("change", () => {
      variant.mapping_to_music_instrument = (role.value || null) as Role | null;
      this.tell();
    });
    const tags = [...new Set(effect?.roles ?? [])].map((name) => element("span", { class: `tag ${name}`, text: name }));
    return element(
      "div",
      { class: "variant", "data-effect": effect?.number },
      element("div", { class: "variant-head" }, ...(effect ? [this.player(effect)] : []), element("h4", {}, variant.play_method, " ", ...tags), ...(effect ? [this.againButton(effect)] : [])),
      ...(effect?.verdict.length ? [element("p", { class: "quiet", text: effect.verdict.join("; ") })] : []),
      ...(effect ? [] : [element("p", { class: "quiet", text: "Too unlikely: no sound was made of it." })]),
      element("div", { class: "fields" }, timbre, field("Suits", role)),
    );
  }

  private player(effect: Effect): HTMLElement {
    const sound = element("audio", { src: effect.url, preload: "none" });
    const play = button("", () => (sound.paused ? void sound.play().catch(() => undefined) : sound.pause()), { class: "round small", label: `Play ${effect.name}` });
    const show = () => {
      play.classList.toggle("on", !sound.paused);
      play.setAttribute("aria-label", `${sound.paused ? "Play" : "Pause"} ${effect.name}`);
    };
    for (const event of ["pause", "ended"]) sound.addEventListener(event, show);
    sound.addEventListener("play", () => {
      if (this.sounding !== sound) this.sounding?.pause();
      this.sounding = sound;
      show();
    });
    return element("span", { class: "sound" }, play, sound);
  }

  private againButton(effect: Effect): HTMLElement {
    const pressed = button("New take", () => this.again(effect, pressed), { class: "again", "aria-label": `New take: ${effect.name}`, title: `This take came of seed ${effect.seed}; a new one draws another` });
    pressed.disabled = !this.run.editable;
    return pressed;
  }

  private text(name: string, value: string, change: (value: string) => void, limit = PHRASE): HTMLElement {
    const input = element("input", { type: "text", value, maxlength: limit, autocomplete: "off" });
    input.readOnly = !this.run.editable;
    input.addEventListener("input", () => {
      change(input.value.trim());
      this.tell();
    });
    return field(name, input);
  }

  /** Show where in the picture a source is. */
  private point(index: number): void {
    const area = this.scene.sound_sources[index].box;
    this.box.hidden = !area;
    if (!area) return;
    const [left, top, right, bottom] = area.map((share) => 100 * share);
    Object.assign(this.box.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  }

  /** Say what would be made again. */
  private tell(): void {
    const edits = this.edits;
    [...this.tabs.children].forEach((tab, index) => tab.classList.toggle("edited", edits.some((edit) => edit.source === index)));
    this.bar.hidden = !edits.length;
    if (edits.length) this.what.replaceChildren(element("b", { text: `${plural(edits.length, "change")}. ` }), this.remade(edits));
  }

  private remade(edits: Edit[]): string {
    const { sounds, roles, recast } = consequences(edits, this.run.effects);
    const named = [...new Set(sounds.map((effect) => effect.source))].map((source) => {
      const own = sounds.filter((effect) => effect.source === source).length;
      return `${plural(own, "sound")} of “${source}”`;
    });
    const parts = [...named, "who plays what", ...roles.map((role) => `the ${role}`), ...(recast ? ["instruments that are cast anew"] : []), "the songs"];
    return `Made again: ${listed(parts)}. Kept: ${plural(this.run.effects.length - sounds.length, "other sound")}.`;
  }

  private async send(): Promise<void> {
    this.problem.clear();
    const edits = this.edits;
    const scene = structuredClone(this.scene); // what is typed until the answer comes is not of it
    try {
      const job = await changeScene(this.run.id, scene, this.run.scene_sha256!);
      this.sent = edits;
      this.base = scene;
      this.tell();
      this.started(job);
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) this.conflict(error.message);
      else this.problem.tell(messageOf(error));
    }
  }

  private conflict(message: string): void {
    const mine = button("Put my changes on top", () => void busy(mine, () => this.rebase(true)));
    const theirs = button("Drop my changes", () => void busy(theirs, () => this.rebase(false)));
    this.problem.tell(message, element("div", { class: "actions" }, mine, theirs));
  }

  /** Take the scene as it is now; with `mine`, what was edited here goes on top where nobody else changed the same. */
  private async rebase(mine: boolean): Promise<void> {
    const edits = mine ? this.edits : [];
    try {
      this.run = await readRun(this.run.id);
    } catch (error) {
      return this.problem.tell(messageOf(error));
    }
    this.base = this.run.scene!;
    const { scene, left } = withEdits(this.base, edits);
    this.take(scene);
    if (left.length) this.problem.tell(`${plural(left.length, "change")} of yours left out: somebody else changed the same.`);
  }

  private async undo(): Promise<void> {
    try {
      this.started(await restoreScene(this.run.id));
    } catch (error) {
      this.bar.hidden = false;
      this.problem.tell(messageOf(error));
    }
  }
}
