// The served app: a gallery of runs at #/, and each run's studio at #/run/<id>.

import { element } from "../data";
import { about } from "./api";
import { CreateDialog } from "./create";
import { Dock } from "./dock";
import { DropArea, isPicture, isScore, messageOf, Problem } from "./dom";
import { Gallery } from "./gallery";
import { Studio } from "./studio";

const main = document.querySelector("main")!;
const dock = new Dock();
const problem = new Problem();
const create = new CreateDialog((job) => {
  location.hash = "#/";
  gallery.add(job);
});
const gallery = new Gallery(dock, (file) => void create.take(file));
const drops = new DropArea();
let studio: Studio | undefined;
let shown = "";

drops.take = (file) => {
  problem.clear();
  if (create.open || (!studio && !isScore(file))) void create.take(file);
  else if (studio && !isPicture(file)) studio.drop(file);
  else if (studio) void create.take(file);
  else problem.tell(`${file.name} is a score. Open a run's studio and drop it there, or drop a picture first.`);
};

async function show(): Promise<void> {
  const id = /^#\/run\/([0-9a-f]+)$/.exec(location.hash)?.[1];
  const first = !shown;
  if (studio?.dirty && !confirm("Leave, and lose the changes that were not made yet?")) return history.pushState(null, "", shown);
  shown = location.hash || "#/";
  problem.clear();
  studio?.close();
  gallery.close();
  studio = id ? new Studio(id, dock) : undefined;
  const view = studio ?? gallery;
  drops.invite = studio ? "Drop a MIDI file: this band will play it" : "Drop a picture: it will sound";
  main.replaceChildren(problem.node, view.node);
  await view.open();
  if (first) return;
  scrollTo(0, 0);
  view.node.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
}

addEventListener("hashchange", () => void show());
addEventListener("beforeunload", (event) => studio?.dirty && event.preventDefault());
document.documentElement.classList.add("js");
document.body.append(dock.node, element("footer", {}, element("p", {}, "Made by ", element("b", { text: "photone" }), ": a picture, heard.")));
void show().then(() => performance.mark("photone-ready"));
about().then(
  (facts) => {
    if (!facts.can_make) problem.tell(`Runs can be heard, but not made: ${facts.why_not ?? "nobody knows why"}`);
  },
  (error) => problem.tell(messageOf(error)),
);

// For the console and for tests.
(globalThis as Record<string, unknown>).photone = { player: dock.player };
