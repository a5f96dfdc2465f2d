// A job while it runs: its stages, how far each is, a way to stop it, and what came of it.

import { cancelJob, readJob, ApiError, type Job, type Stage } from "./api";
import { announce, busy, button, element, messageOf, Problem } from "./dom";

const LOOK_MS = 600;
const PATIENCE = 20; // looks without an answer before the server counts as gone

const STATES: Record<Job["state"], string> = {
  waiting: "Waiting for its turn",
  running: "Being made",
  cancelling: "Stopping…",
  done: "Done",
  failed: "It did not work",
  cancelled: "Stopped",
};

const STAGE_STATES: Record<Stage["state"], string> = { waiting: "waits", running: "now", done: "made", kept: "kept as it was", failed: "failed", cancelled: "stopped" };

const STAGES: Record<string, string> = { picture: "Picture", scene: "What can be heard in it", effects: "Sounds", casting: "Who plays what", instruments: "Instruments", song: "Song" };

export const unfinished = (job: Job): boolean => ["waiting", "running", "cancelling"].includes(job.state);

export interface Watching {
  /** Called once when it has ended, whatever the end was. */
  ended?: (job: Job) => void;
  /** What stands below a job that is done. */
  after?: (job: Job) => HTMLElement[];
}

export class JobPanel {
  readonly node = element("article", { class: "job" });
  private readonly heading = element("h3");
  private readonly state = element("p", { class: "quiet state" });
  private readonly bar = element("progress", { max: 1, value: 0, label: "How far it is" });
  private readonly stages = element("ol", { class: "stages" });
  private readonly problem = new Problem();
  private readonly rest = element("div", { class: "actions" });
  private readonly stop = button("Stop", () => void this.cancel(), { class: "stop" });
  private timer = 0;
  private silent = 0;
  private job: Job;

  constructor(
    job: Job,
    private readonly watching: Watching = {},
  ) {
    this.job = job;
    this.rest.append(this.stop);
    this.node.append(this.heading, this.state, this.bar, this.stages, this.problem.node, this.rest);
    this.draw();
    if (unfinished(job)) this.wait();
  }

  /** Look no more; the job itself goes on. */
  leave(): void {
    clearTimeout(this.timer);
    this.timer = -1;
  }

  private wait(): void {
    if (this.timer !== -1) this.timer = window.setTimeout(() => void this.look(), document.hidden ? 4 * LOOK_MS : LOOK_MS);
  }

  private async look(): Promise<void> {
    try {
      this.job = await readJob(this.job.id);
      this.silent = 0;
      this.problem.clear();
    } catch (error) {
      const gone = error instanceof ApiError && error.status === 404;
      if (gone || ++this.silent > 3) this.problem.tell(messageOf(error));
      if (!gone && this.silent < PATIENCE) this.wait();
      return;
    }
    if (this.timer === -1) return;
    this.draw();
    if (unfinished(this.job)) return this.wait();
    announce(`${this.job.name}: ${STATES[this.job.state]}`);
    this.watching.ended?.(this.job);
  }

  private async cancel(): Promise<void> {
    await busy(this.stop, async () => {
      try {
        await cancelJob(this.job.id);
        if (unfinished(this.job)) this.state.textContent = STATES.cancelling; // a look may have seen its end before this answer
      } catch (error) {
        this.problem.tell(messageOf(error));
      }
    });
  }

  private draw(): void {
    const { job } = this;
    this.node.dataset.state = job.state;
    this.heading.textContent = job.name.replace(" -> ", " → ");
    const now = job.stages.find((stage) => stage.state === "running");
    this.state.textContent = now && job.state === "running" ? `${STAGES[now.name] ?? now.name}…` : STATES[job.state];
    this.bar.value = job.progress;
    this.bar.hidden = !unfinished(job);
    this.stages.replaceChildren(...job.stages.map(stageLine));
    this.stop.hidden = !unfinished(job) || job.state === "cancelling";
    if (job.state === "failed") this.problem.tell(job.message ?? "Nobody knows why: photone's log in .prefect/ says more.");
    const after = job.state === "done" ? (this.watching.after?.(job) ?? []) : [];
    this.rest.replaceChildren(this.stop, ...after);
    this.rest.hidden = this.stop.hidden && !after.length;
  }
}

function stageLine(stage: Stage): HTMLElement {
  const counted = stage.state === "running" && (stage.of ?? 0) > 1;
  const words = counted ? `${stage.done ?? 0} of ${stage.of}` : STAGE_STATES[stage.state];
  const name = element("span", { text: STAGES[stage.name] ?? stage.name });
  return element("li", { "data-state": stage.state, "data-stage": stage.name }, name, " ", element("span", { class: "quiet", text: words }));
}
