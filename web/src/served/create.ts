// A picture becomes a run: the dialog between the two.

import { about, listScores, startRun, type Job } from "./api";
import { busy, button, element, fileButton, isPicture, isScore, messageOf, PICTURES, Problem } from "./dom";
import { field, PlayingFields } from "./playing";

export class CreateDialog {
  private readonly node = element("dialog", { class: "sheet", "aria-labelledby": "create-h" });
  private readonly problem = new Problem();
  private readonly body = element("div", { class: "sheet-body" });
  private readonly heading = element("h2", { id: "create-h", tabindex: -1, text: "What shall it play?" });
  private picture?: File;
  private address = "";
  private playing?: PlayingFields;
  private readonly image = element("img", { alt: "The picture that you chose" });
  private readonly name = element("p", { class: "quiet" });
  private readonly seed = element("input", { type: "number", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, value: 0, inputmode: "numeric" });
  private readonly compact = element("input", { type: "checkbox" });
  private readonly go = element("button", { type: "submit", class: "primary", text: "Make it sound" });

  constructor(private readonly started: (job: Job) => void) {
    const form = element("form", { method: "dialog" }, this.body);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void busy(this.go, () => this.start());
    });
    this.node.append(form);
    this.node.addEventListener("close", () => URL.revokeObjectURL(this.address));
    document.body.append(this.node);
  }

  get open(): boolean {
    return this.node.open;
  }

  /** A picture, or while the dialog is open a score for it. */
  async take(file: File): Promise<void> {
    if (this.open && isScore(file)) return void this.playing?.take(file);
    this.picture = file;
    URL.revokeObjectURL(this.address);
    this.address = URL.createObjectURL(file);
    this.image.src = this.address;
    this.name.textContent = file.name;
    this.problem.clear();
    if (!isPicture(file)) this.problem.tell(`${file.name} does not look like a picture. JPEG, PNG, WebP, TIFF, HEIC and AVIF are read.`);
    if (this.open) return;
    await this.build();
    this.node.showModal();
    this.heading.focus();
  }

  private async build(): Promise<void> {
    try {
      const [scores, { looks }] = await Promise.all([listScores(), about()]);
      this.playing = new PlayingFields(scores, looks);
    } catch (error) {
      this.playing = undefined;
      this.problem.tell(messageOf(error));
    }
    const more = element("details", {}, element("summary", { text: "More" }), element("div", { class: "fields" }, field("Seed", this.seed, "another number gives other sounds"), checkbox(this.compact, "Small instruments: made faster, a little plainer")));
    const picture = element("figure", { class: "chosen-picture" }, this.image, this.name, fileButton("Another picture…", PICTURES, (file) => void this.take(file)));
    const actions = element("div", { class: "actions" }, this.go, button("Not now", () => this.node.close()));
    const right = element("div", {}, ...(this.playing ? [this.playing.node] : []), more, this.problem.node, actions);
    this.body.replaceChildren(this.heading, picture, right);
  }

  private async start(): Promise<void> {
    if (!this.picture || !this.playing) return;
    this.problem.clear();
    try {
      const job = await startRun({ picture: this.picture, ...this.playing.value, seed: Number(this.seed.value) || 0, compact: this.compact.checked });
      this.node.close();
      this.started(job);
    } catch (error) {
      this.problem.tell(messageOf(error));
    }
  }
}

function checkbox(input: HTMLInputElement, text: string): HTMLElement {
  return element("label", { class: "check" }, input, element("span", { text }));
}
