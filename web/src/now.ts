// What plays, wherever one looks: a button at the head, a bar at the foot while the deck is out of sight, and players and
// marks in the picture that light up as they sound.

import { clock, element } from "./data";
import { still } from "./paint";
import { toggleSong, watchSong, type Playing } from "./song";

const FAINT = 0.45; // of a meter, which is at 0 at -60 dB: softer than -33 dB nothing lights up

export function setUpNow(): void {
  const deck = document.getElementById("song");
  const counts = document.querySelector(".counts");
  if (!deck?.querySelector(".song") || !counts) return;
  const head = new Button("listen");
  const foot = new Button("round small");
  const title = element("b");
  const time = element("span", { class: "time" });
  const line = element("i");
  const words = element("span", { class: "what" }, title, time);
  const bar = element("aside", { class: "bar", label: "Now playing" }, line, foot.node, words, element("a", { href: "#song", text: "Mixer" }));
  bar.hidden = true;
  counts.after(head.node);
  document.body.append(bar);

  let away = false;
  let begun = false;
  const place = () => {
    bar.hidden = !(away && begun);
    document.documentElement.classList.toggle("with-bar", !bar.hidden);
  };
  new IntersectionObserver(([entry]) => {
    away = !entry.isIntersecting;
    place();
  }).observe(deck);

  watchSong((now) => {
    begun ||= now.playing;
    head.tell(now, now.playing ? "Pause" : begun ? "Go on" : "Listen", now.title);
    foot.tell(now);
    if (title.textContent !== now.title) title.textContent = now.title;
    const at = `${clock(now.position)} / ${clock(Math.round(now.duration))}`;
    if (time.textContent !== at) time.textContent = at;
    line.style.scale = `${(now.position / now.duration).toFixed(4)} 1`;
    light(now);
    place();
  });
}

/** A button that plays and pauses the song, and says so. */
class Button {
  readonly node: HTMLButtonElement;
  private told = "";

  constructor(style: string) {
    this.node = element("button", { type: "button", class: style });
    this.node.addEventListener("click", toggleSong);
  }

  tell(now: Playing, verb = "", of = ""): void {
    const state = `${now.playing} ${now.waiting} ${verb} ${of}`;
    if (state === this.told) return;
    this.told = state;
    this.node.classList.toggle("on", now.playing);
    this.node.classList.toggle("waiting", now.waiting);
    if (verb) this.node.replaceChildren(element("b", { text: verb }), element("span", { text: of }));
    else this.node.setAttribute("aria-label", now.playing ? "Pause the song" : "Play the song");
  }
}

/** Tell the picture how loud each part is, 0..1. */
function light(now: Playing): void {
  if (still()) return;
  const stage = document.querySelector<HTMLElement>(".stage");
  for (const [part, level] of now.levels) {
    const heard = Math.max(0, Math.min(1, (level - FAINT) / (0.85 - FAINT)));
    stage?.style.setProperty(`--heard-${part}`, heard.toFixed(2));
  }
}
