// The gallery: every run as a card, found and sorted, and the place where new pictures arrive.

import { element } from "../data";
import { listJobs, listRuns, ROLES, type Job, type RunSummary } from "./api";
import { announce, button, fileButton, freshId, messageOf, PICTURES, plural, Problem, since } from "./dom";
import { songRows, type Dock } from "./dock";
import { JobPanel, unfinished } from "./jobs";

const PAGE = 48;
const SONGS_SHOWN = 3;
const TYPING_MS = 180;
const SORTS = [
  ["newest", "newest first"],
  ["oldest", "oldest first"],
  ["name", "by name"],
] as const;

export class Gallery {
  readonly node = element("div", { class: "gallery-view" });
  private readonly search = element("input", { type: "search", placeholder: "Search: birds, lake, canon…", autocomplete: "off", spellcheck: "false" });
  private readonly sort = element("select", {}, ...SORTS.map(([value, text]) => element("option", { value, text })));
  private readonly count = element("p", { class: "quiet count", role: "status" });
  private readonly grid = element("ul", { class: "runs" });
  private readonly making = element("div", { class: "making" });
  private readonly more = button("Show more", () => void this.show(this.limit + PAGE), { class: "more" });
  private readonly problem = new Problem();
  private readonly panels = new Map<string, JobPanel>();
  private readonly tools: HTMLElement;
  private limit = PAGE;
  private asking?: AbortController;
  private typing = 0;

  constructor(
    private readonly dock: Dock,
    take: (file: File) => void,
  ) {
    const [searchId, sortId] = [freshId("search"), freshId("sort")];
    this.search.id = searchId;
    this.sort.id = sortId;
    const labels = [element("label", { for: searchId, class: "unseen", text: "Search" }), element("label", { for: sortId, class: "unseen", text: "Sort" })];
    this.tools = element("div", { class: "tools", role: "search" }, this.count, labels[0], this.search, labels[1], this.sort);
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = window.setTimeout(() => void this.show(PAGE), TYPING_MS);
    });
    this.sort.addEventListener("change", () => void this.show(PAGE));
    this.node.append(this.intro(take), this.making, this.tools, this.problem.node, this.grid, this.more);
  }

  private intro(take: (file: File) => void): HTMLElement {
    const drop = element(
      "div",
      { class: "drop" },
      element("p", { class: "drop-words", text: "Drop a picture here" }),
      element("p", { class: "quiet", text: "or anywhere on this page: its sounds become a band, and the band plays for you." }),
      fileButton("Choose a picture", PICTURES, take, { class: "primary" }),
    );
    return element("header", { class: "top" }, element("p", { class: "brand", text: "photone" }), element("h1", { tabindex: -1, text: "Pictures, heard" }), drop);
  }

  async open(): Promise<void> {
    document.title = "photone: pictures, heard";
    await Promise.all([this.show(this.limit), this.showJobs()]);
  }

  close(): void {
    this.asking?.abort();
    for (const panel of this.panels.values()) panel.leave();
    this.panels.clear();
    this.making.replaceChildren();
  }

  private async show(limit: number): Promise<void> {
    this.limit = limit;
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const wanted = this.search.value.trim();
    try {
      const { runs, total } = await listRuns(wanted, this.sort.value, limit, asking.signal);
      this.problem.clear();
      this.grid.replaceChildren(...runs.map((run) => this.card(run)));
      this.tools.hidden = !total && !wanted;
      this.more.hidden = runs.length >= total;
      this.count.textContent = total || !wanted ? plural(total, "run") : `Nothing here sounds like “${wanted}”.`;
      this.node.classList.toggle("empty", !total && !wanted);
    } catch (error) {
      if ((error as Error).name !== "AbortError") this.problem.tell(messageOf(error), button("Try again", () => void this.open()));
    }
  }

  private card(run: RunSummary): HTMLElement {
    const rows = songRows(this.dock, run);
    const rest = rows.splice(SONGS_SHOWN).length;
    const studio = element("a", { href: `#/run/${run.id}`, class: "studio-link", text: "Studio", "aria-label": `Studio: ${run.title}` });
    const band = ROLES.filter((role) => run.roles[role]).map((role) =>
      element("li", { class: role }, element("span", { class: "role-name", text: role }), " ", element("span", { text: run.roles[role] })),
    );
    return element(
      "li",
      { class: "card", "data-run": run.id },
      element("a", { href: run.url, class: "thumb", tabindex: -1, "aria-hidden": "true" }, ...(run.thumbnail ? [element("img", { src: run.thumbnail, alt: "", loading: "lazy" })] : [])),
      element("h2", {}, element("a", { href: run.url, text: run.title })),
      ...(run.problem ? [element("p", { class: "quiet", text: run.problem })] : []),
      element("ul", { class: "casting", label: "The band" }, ...band),
      element("ul", { class: "songs", label: "Songs" }, ...rows),
      element("p", { class: "foot quiet" }, since(run.made_at), rest > 0 ? ` · ${plural(rest, "more song")}` : "", studio),
    );
  }

  private async showJobs(): Promise<void> {
    const jobs = await listJobs().catch(() => []); // a gallery without its jobs is still one; asking for runs says what is wrong
    for (const job of jobs.filter(unfinished)) this.add(job);
  }

  /** Show a job that has been started, and the run when it is done. */
  add(job: Job): void {
    if (this.panels.has(job.id)) return;
    const panel = new JobPanel(job, {
      ended: (ended) => {
        if (ended.state === "done") void this.show(this.limit);
      },
      after: (done) => afterwards(done),
    });
    this.panels.set(job.id, panel);
    this.making.prepend(panel.node);
    announce(`${job.name}: started`);
  }
}

/** Where to go from a job that is done. */
function afterwards(job: Job): HTMLElement[] {
  const links: HTMLElement[] = [];
  if (job.run_url) links.push(element("a", { class: "primary", href: job.run_url, text: "See and hear it" }));
  if (job.run) links.push(element("a", { href: `#/run/${job.run}`, text: "Studio" }));
  return links;
}
