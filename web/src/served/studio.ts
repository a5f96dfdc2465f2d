// One run in the studio: hear its songs, give it another score, change what was heard in the picture, make a sound again.

import { element } from "../data";
import { about, listJobs, listScores, readRun, remakeEffect, swapScore, type Effect, type Job, type RunDetail } from "./api";
import { announce, busy, button, isScore, listed, messageOf, Problem } from "./dom";
import { songRows, type Dock } from "./dock";
import { SceneEditor } from "./editor";
import { JobPanel, unfinished } from "./jobs";
import { PlayingFields } from "./playing";

export class Studio {
  readonly node = element("div", { class: "studio-view" });
  private readonly problem = new Problem();
  private readonly songs = element("ul", { class: "songs" });
  private readonly jobs = element("div", { class: "making" });
  private readonly panels = new Map<string, JobPanel>();
  private playing?: PlayingFields;
  private editor?: SceneEditor;
  private canMake = false;
  private left = false;

  constructor(
    readonly id: string,
    private readonly dock: Dock,
  ) {}

  /** There are changes that were not made yet. */
  get dirty(): boolean {
    return this.editor?.dirty ?? false;
  }

  async open(): Promise<void> {
    this.node.replaceChildren(element("header", { class: "top" }, backLink(), element("h1", { tabindex: -1, text: "…" })), this.problem.node);
    try {
      const [run, scores, facts] = await Promise.all([readRun(this.id), listScores(), about()]);
      if (this.left) return;
      this.canMake = facts.can_make;
      document.title = `${run.title} · studio · photone`;
      this.playing = new PlayingFields(scores, facts.looks, run.songs.map((song) => song.name));
      this.editor = run.scene ? new SceneEditor(run, (job) => this.add(job), (effect, pressed) => void this.again(effect, pressed)) : undefined;
      this.build(run);
      await this.showJobs();
    } catch (error) {
      this.node.querySelector("h1")!.textContent = "This run cannot be shown";
      this.problem.tell(messageOf(error), button("Try again", () => void this.open()));
    }
  }

  close(): void {
    this.left = true;
    for (const panel of this.panels.values()) panel.leave();
  }

  private build(run: RunDetail): void {
    const picture = run.picture ? [element("img", { class: "hero", src: run.picture, alt: "" })] : [];
    const head = element(
      "header",
      { class: "top" },
      ...picture,
      backLink(),
      element("h1", { tabindex: -1, text: run.title }),
      element("p", { class: "mood", text: run.scene?.mood_description ?? run.problem ?? "" }),
      element("p", { class: "page-link" }, element("a", { href: run.url, text: "Open its page" }), element("span", { class: "quiet", text: " to see the sources, mute players and play the instruments" })),
    );
    this.node.replaceChildren(head, this.problem.node, this.jobs, this.listening(), ...(this.canMake ? [this.swapping()] : []), ...(this.editor ? [this.editor.node] : []));
    this.showSongs(run);
  }

  private listening(): HTMLElement {
    return section("Songs", "Play one, or compare two: press “Compare” on each, here or in the gallery. Both then run in step and equally loud; X goes from one to the other.", this.songs);
  }

  private showSongs(run: RunDetail): void {
    this.songs.replaceChildren(...songRows(this.dock, run));
  }

  private swapping(): HTMLElement {
    const problem = new Problem();
    const go = button("Play this score", () => void busy(go, () => this.swap(problem)), { class: "primary" });
    return section("Another score", "The band stays; it gets other music. You can drop a MIDI file anywhere on this page.", this.playing!.node, problem.node, element("div", { class: "actions" }, go));
  }

  /** A file was dropped on the page. */
  drop(file: File): void {
    if (this.canMake && this.playing?.take(file)) {
      announce(`${file.name} is chosen as the score`);
      this.playing.node.scrollIntoView({ block: "center" });
      this.node.querySelector<HTMLElement>(".primary")?.focus();
    } else if (!isScore(file)) this.problem.tell(`${file.name} is no MIDI file: a score ends in .mid. New pictures are dropped in the gallery.`);
  }

  private async swap(problem: Problem): Promise<void> {
    problem.clear();
    try {
      this.add(await swapScore(this.id, this.playing!.value));
    } catch (error) {
      problem.tell(messageOf(error));
    }
  }

  private async again(effect: Effect, pressed: HTMLButtonElement): Promise<void> {
    await busy(pressed, async () => {
      this.problem.clear();
      try {
        this.add(await remakeEffect(this.id, effect.number));
      } catch (error) {
        this.problem.tell(messageOf(error));
        this.problem.node.scrollIntoView({ block: "center" });
      }
    });
  }

  private async showJobs(): Promise<void> {
    const jobs = await listJobs().catch(() => []); // a studio without its jobs is still one
    if (!this.left) for (const job of jobs.filter((each) => each.run === this.id && unfinished(each))) this.add(job);
  }

  private add(job: Job): void {
    if (this.panels.has(job.id)) return;
    for (const ended of this.jobs.querySelectorAll(".job:is([data-state=done], [data-state=cancelled])")) ended.remove();
    const panel = new JobPanel(job, { ended: () => void this.refresh(), after: (done) => [element("p", { class: "quiet", text: keptWords(done) })] });
    this.panels.set(job.id, panel);
    this.jobs.prepend(panel.node);
    this.jobs.scrollIntoView({ block: "nearest" });
    announce(`${job.name}: started`);
  }

  /** Show what a job has changed; changes in the form that are not made yet stay. */
  private async refresh(): Promise<void> {
    try {
      const run = await readRun(this.id);
      if (this.left) return;
      this.showSongs(run);
      this.editor?.refresh(run);
    } catch (error) {
      this.problem.tell(messageOf(error));
    }
  }
}

const KEPT: Record<string, string> = { picture: "the picture", scene: "the scene", effects: "all sounds", casting: "the casting", instruments: "all instruments", song: "the song" };

/** "Kept as they were: …" */
function keptWords(job: Job): string {
  const kept = job.stages.filter((stage) => stage.state === "kept").map((stage) => KEPT[stage.name] ?? stage.name);
  return kept.length ? `Kept: ${listed(kept)}.` : "";
}

function backLink(): HTMLElement {
  return element("p", { class: "brand" }, element("a", { href: "#/", text: "photone" }), " studio");
}

function section(heading: string, lead: string, ...content: HTMLElement[]): HTMLElement {
  const id = `${heading.toLowerCase().replace(/\W+/g, "-")}-h`;
  return element("section", { "aria-labelledby": id }, element("h2", { id, text: heading }), element("p", { class: "lead", text: lead }), ...content);
}
