// The picture: a mark for each source, its box while it is looked at, its card, and lines to the players that it became.

import { element, type RunData } from "./data";

const SVG = "http://www.w3.org/2000/svg";

const MOST_COVERED = 0.2; // of the picture by names: with more, there are only numbers on it

interface Mark {
  button: HTMLButtonElement;
  x: number;
  y: number;
  at: [number, number]; // where it is wanted, in shares of the picture
}

export function setUpPicture(run: RunData, roleOf: (effect: number) => string | undefined): void {
  const stage = document.querySelector<HTMLElement>(".stage")!;
  const layer = stage.querySelector<HTMLElement>(".markers")!;
  const cards = [...document.querySelectorAll<HTMLElement>(".source")];
  const box = element("div", { class: "box", "aria-hidden": "true" });
  const threads = document.createElementNS(SVG, "svg");
  threads.setAttribute("class", "threads");
  threads.setAttribute("aria-hidden", "true");
  layer.append(box);
  stage.append(threads);

  const rolesOf = (index: number) => [...new Set(run.sources[index].effects.map(roleOf).filter((role) => role !== undefined))];
  const tabs = run.sources.map((source, index) => {
    const tab = element("button", { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": `source-${index}` });
    tab.append(element("span", { class: `number ${rolesOf(index)[0] ?? "idle"}`, text: String(index + 1) }), element("span", { text: source.name }));
    return tab;
  });
  const list = element("div", { class: "tabs", role: "tablist", label: "Sources" }, ...tabs);
  stage.querySelector(".sources")!.before(list);

  const marks = new Map<number, Mark>();
  run.sources.forEach((source, index) => {
    if (!source.box) return;
    const [x0, y0, x1, y1] = source.box;
    const button = element("button", { type: "button", class: `mark ${rolesOf(index)[0] ?? "idle"}`, label: source.name });
    button.append(element("b", { text: String(index + 1) }), element("span", { text: source.name }));
    layer.append(button);
    marks.set(index, { button, x: 0, y: 0, at: [(x0 + x1) / 2, (y0 + y1) / 2] });
  });

  /** Frame where a source lies, and darken the rest; without a place the picture is as it was. */
  const frame = (area: RunData["sources"][number]["box"]) => {
    box.hidden = !area;
    if (!area) return;
    const [left, top, right, bottom] = area.map((share) => 100 * share);
    Object.assign(box.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  };
  layer.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && frame(null));

  let chosen = -1;
  const choose = (index: number) => {
    frame(run.sources[index].box);
    if (index === chosen) return;
    chosen = index;
    cards.forEach((card, which) => card.classList.toggle("chosen", which === index));
    tabs.forEach((tab, which) => {
      tab.setAttribute("aria-selected", String(which === index));
      tab.tabIndex = which === index ? 0 : -1;
    });
    for (const [which, mark] of marks) {
      mark.button.classList.toggle("chosen", which === index);
      mark.button.setAttribute("aria-pressed", String(which === index));
    }
    for (const path of threads.children) path.classList.toggle("chosen", path.getAttribute("data-source") === String(index));
  };

  const pick = (node: HTMLElement, index: number) => {
    node.addEventListener("focus", () => choose(index));
    node.addEventListener("click", () => choose(index));
  };
  tabs.forEach((tab, index) => {
    pick(tab, index);
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      tabs[(index + step + tabs.length) % tabs.length].focus();
    });
  });
  for (const [index, mark] of marks) {
    pick(mark.button, index);
    mark.button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && choose(index));
  }
  cards.forEach((card, index) => {
    card.setAttribute("role", "tabpanel");
    card.setAttribute("aria-labelledby", `tab-${index}`);
  });

  const layOut = () => {
    layer.classList.remove("crowded");
    layer.classList.toggle("crowded", covered([...marks.values()]) > MOST_COVERED * layer.clientWidth * layer.clientHeight);
    spread([...marks.values()], layer.clientWidth, layer.clientHeight);
    drawThreads();
  };

  const drawThreads = () => {
    const origin = stage.getBoundingClientRect();
    threads.setAttribute("viewBox", `0 0 ${origin.width} ${origin.height}`);
    threads.replaceChildren();
    for (const player of run.band) {
      const card = stage.querySelector<HTMLElement>(`[data-role="${player.role}"]`)!.getBoundingClientRect();
      const sources = new Set(player.effects.map((effect) => run.sources.findIndex((source) => source.effects.includes(effect))));
      for (const source of sources) {
        const mark = marks.get(source);
        if (!mark) continue;
        const from = mark.button.getBoundingClientRect();
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("d", curve(from, card, origin));
        path.setAttribute("class", player.role + (source === chosen ? " chosen" : ""));
        path.setAttribute("data-source", String(source));
        threads.append(path);
      }
    }
  };

  new ResizeObserver(layOut).observe(stage);
  stage.querySelector("img")!.addEventListener("load", layOut);
  void document.fonts.ready.then(layOut);
  choose(Math.max(0, run.sources.findIndex((source) => source.effects.some((effect) => roleOf(effect)))));
  frame(null); // until somebody looks at one
}

const covered = (marks: Mark[]) => marks.reduce((sum, mark) => sum + mark.button.offsetWidth * mark.button.offsetHeight, 0);

/** A line from a mark to a card, which lies beside the picture or below it. */
function curve(from: DOMRect, card: DOMRect, origin: DOMRect): string {
  if (card.left > from.right) {
    // Level over the picture, and up or down in the gap beside it.
    const [x, y] = [from.right - origin.left, from.top + from.height / 2 - origin.top];
    const [tx, ty] = [card.left - origin.left, card.top + Math.min(28, card.height / 2) - origin.top];
    return `M${x},${y}C${tx - 12},${y} ${tx - 64},${ty} ${tx},${ty}`;
  }
  const [x, y] = [from.left + from.width / 2 - origin.left, from.bottom - origin.top];
  const [tx, ty] = [card.left + Math.min(40, card.width / 2) - origin.left, card.top - origin.top];
  const bend = Math.max(30, (ty - y) / 2);
  return `M${x},${y}C${x},${y + bend} ${tx},${ty - bend} ${tx},${ty}`;
}

/** Place the marks near where they are wanted, within the picture and clear of each other. */
function spread(marks: Mark[], width: number, height: number): void {
  if (!width || !height) return;
  const gap = 5;
  const sizes = marks.map((mark) => [mark.button.offsetWidth, mark.button.offsetHeight] as const);
  marks.forEach((mark, index) => {
    // A little apart from the start, so that marks wanted at one place know where to go.
    mark.x = mark.at[0] * width - sizes[index][0] / 2 + (index % 3) - 1;
    mark.y = mark.at[1] * height - sizes[index][1] / 2 + index;
  });
  const inside = (mark: Mark, index: number) => {
    mark.x = Math.min(width - sizes[index][0] - gap, Math.max(gap, mark.x));
    mark.y = Math.min(height - sizes[index][1] - gap, Math.max(gap, mark.y));
  };
  marks.forEach(inside);
  for (let round = 0; round < 200; round++) {
    let moved = false;
    for (let one = 0; one < marks.length; one++) {
      for (let two = one + 1; two < marks.length; two++) {
        const [a, b] = [marks[one], marks[two]];
        const dx = (sizes[one][0] + sizes[two][0]) / 2 + gap - Math.abs(a.x + sizes[one][0] / 2 - b.x - sizes[two][0] / 2);
        const dy = (sizes[one][1] + sizes[two][1]) / 2 + gap - Math.abs(a.y + sizes[one][1] / 2 - b.y - sizes[two][1] / 2);
        if (dx <= 0 || dy <= 0) continue;
        moved = true;
        if (dy <= dx) {
          const sign = a.y <= b.y ? 1 : -1;
          a.y -= (sign * dy) / 2;
          b.y += (sign * dy) / 2;
        } else {
          const sign = a.x <= b.x ? 1 : -1;
          a.x -= (sign * dx) / 2;
          b.x += (sign * dx) / 2;
        }
        inside(a, one);
        inside(b, two);
      }
    }
    if (!moved) break;
  }
  for (const mark of marks) mark.button.style.translate = `${Math.round(mark.x)}px ${Math.round(mark.y)}px`;
}
