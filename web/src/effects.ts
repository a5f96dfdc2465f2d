// Each effect: a button, its spectrogram with the waveform under it, and a line that moves while it plays.

import { clock, element, levels, media, type EffectPicture, type RunData } from "./data";
import { canvas, colour, frames, rgb } from "./paint";

const COLUMNS = 120;
let sounding: HTMLAudioElement | undefined;

/** Stop whatever effect plays: one thing is heard at a time. */
export function hushEffects(): void {
  sounding?.pause();
}

export function setUpEffects(run: RunData, roleOf: (effect: number) => string | undefined, onPlay: () => void): void {
  const pictures = media<Record<string, EffectPicture>>(run.effects_media);
  for (const box of document.querySelectorAll<HTMLElement>(".effect")) {
    const number = Number(box.dataset.effect);
    setUp(box, run.effects[number], roleOf(number) ?? "idle", pictures.then((all) => all[number]), onPlay);
  }
}

function setUp(box: HTMLElement, duration: number, role: string, picture: Promise<EffectPicture>, onPlay: () => void): void {
  const sound = box.querySelector("audio")!;
  const name = sound.getAttribute("aria-label")!;
  sound.controls = false;
  const button = element("button", { type: "button", class: "round small", label: `Play ${name}` });
  const view = element("canvas", { class: "spectrum", "aria-hidden": "true" });
  const line = element("i", { class: "now" });
  const time = element("span", { class: "time", text: clock(Math.round(duration)) });
  const frame = element("div", { class: "view" }, view, line);
  sound.before(element("div", { class: "effect-player" }, button, frame, time));

  const move = frames(() => {
    line.style.left = `${(100 * sound.currentTime) / duration}%`;
    time.textContent = clock(sound.paused ? Math.round(duration) : sound.currentTime);
    return !sound.paused;
  });
  const show = () => {
    button.classList.toggle("on", !sound.paused);
    button.setAttribute("aria-label", `${sound.paused ? "Play" : "Pause"} ${name}`);
    frame.classList.toggle("on", !sound.paused);
    move();
  };
  button.addEventListener("click", () => (sound.paused ? void sound.play().catch(() => undefined) : sound.pause()));
  frame.addEventListener("click", (event) => {
    const place = frame.getBoundingClientRect();
    sound.currentTime = (duration * (event.clientX - place.left)) / place.width;
    if (sound.paused) void sound.play().catch(() => undefined);
  });
  sound.addEventListener("play", () => {
    if (sounding !== sound) sounding?.pause();
    sounding = sound;
    onPlay();
    show();
  });
  for (const event of ["pause", "ended"]) sound.addEventListener(event, show);
  void picture.then(
    (value) => draw(view, value, role),
    () => frame.classList.add("empty"),
  );
}

function draw(view: HTMLCanvasElement, picture: EffectPicture, role: string): void {
  const cells = levels(picture.spectrum);
  const wave = levels(picture.wave);
  const again = canvas(view, (paint, width, height) => {
    const lower = Math.round(height * 0.26);
    paint.imageSmoothingQuality = "high";
    paint.drawImage(tinted(cells, role), 0, 0, width, height - lower - 4);
    paint.fillStyle = colour(role);
    const step = width / wave.length;
    for (let index = 0; index < wave.length; index++) {
      const tall = Math.max(1, wave[index] * lower);
      paint.fillRect(index * step, height - lower / 2 - tall / 2, Math.max(0.6, step * 0.7), tall);
    }
  });
  again();
}

function tinted(cells: Float32Array, role: string): HTMLCanvasElement {
  const rows = cells.length / COLUMNS;
  const small = element("canvas", { width: COLUMNS, height: rows });
  const paint = small.getContext("2d")!;
  const image = paint.createImageData(COLUMNS, rows);
  const [red, green, blue] = rgb(role);
  for (let index = 0; index < cells.length; index++) {
    image.data.set([red, green, blue, 255 * cells[index] ** 1.5], 4 * index);
  }
  paint.putImageData(image, 0, 0);
  return small;
}
