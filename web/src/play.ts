// Playing the band: keys and pads on the screen, the computer's keyboard, MIDI.

import { audio, awake, instrumentsOutput } from "./audio";
import { element, isBlack, keyName, media, type InstrumentDocument, type Player, type RunData } from "./data";
import { decodeSamples, Sampler } from "./sampler";

// By the place of the keys, whatever is printed on them: two rows as a piano's keys, from C.
const PIANO_CODES = ["KeyA", "KeyW", "KeyS", "KeyE", "KeyD", "KeyF", "KeyT", "KeyG", "KeyY", "KeyH", "KeyU", "KeyJ", "KeyK", "KeyO", "KeyL", "KeyP", "Semicolon"];
const PAD_CODES = ["KeyA", "KeyS", "KeyD", "KeyF", "KeyG", "KeyH", "KeyJ", "KeyK", "KeyQ", "KeyW", "KeyE", "KeyR", "KeyT", "KeyY", "KeyU", "KeyI"];
// What a drummer reaches for first; the rest follows by key.
const FIRST_DRUMS = [36, 38, 42, 46, 41, 45, 48, 49, 35, 40, 44, 51, 37, 39, 56, 54];
const START: Record<string, number> = { keyboard: 60, bass: 36, guitar: 48 };

export class Band {
  private readonly loading = new Map<string, Promise<Sampler>>();

  constructor(private readonly run: RunData) {}

  player(role: string): Player {
    return this.run.band.find((player) => player.role === role)!;
  }

  /** An instrument with all its samples decoded. */
  sampler(role: string): Promise<Sampler> {
    let sampler = this.loading.get(role);
    if (!sampler) {
      sampler = this.build(role);
      this.loading.set(role, sampler);
      sampler.catch(() => this.loading.delete(role));
    }
    return sampler;
  }

  private async build(role: string): Promise<Sampler> {
    const doc = await media<InstrumentDocument>(this.player(role).media);
    return new Sampler(audio(), doc, await decodeSamples(audio(), doc), instrumentsOutput());
  }
}

export function setUpPlay(run: RunData, band: Band, nameOf: (part: string) => string, onPlay: () => void): void {
  const box = document.querySelector<HTMLElement>(".player-box");
  if (!box) return;
  document.querySelector(".needs-js")?.remove();
  new Stand(box, run, band, nameOf, onPlay);
}

class Stand {
  private role: string;
  private sampler?: Sampler;
  private low = 48;
  private velocity = 96;
  private typing = true;
  private holding = false;
  private readonly held = new Map<string, number>(); // what holds a key down -> the key
  private readonly board = element("div", { class: "board" });
  private readonly status = element("p", { class: "quiet", role: "status" });
  private readonly octave = element("span", { class: "range" });
  private readonly shift = element("span", { class: "group" });
  private readonly tabs: HTMLButtonElement[];

  constructor(
    box: HTMLElement,
    run: RunData,
    private readonly band: Band,
    nameOf: (part: string) => string,
    private readonly onPlay: () => void,
  ) {
    this.role = run.band[0].role;
    this.tabs = run.band.map((player) => {
      const tab = element("button", { type: "button", class: player.role, "aria-pressed": "false" });
      tab.append(element("b", { text: player.role }), element("span", { class: "quiet", text: nameOf(player.role) }));
      tab.addEventListener("click", () => this.take(player.role));
      return tab;
    });
    box.append(element("div", { class: "choices instruments", role: "group", label: "Instruments" }, ...this.tabs));
    box.append(this.board, this.controls(), this.status);
    this.keys();
    new ResizeObserver(() => this.fit()).observe(this.board);
    this.take(this.role, false);
  }

  private controls(): HTMLElement {
    const step = (text: string, label: string, by: number) => {
      const button = element("button", { type: "button", label, text });
      button.addEventListener("click", () => this.move(by));
      return button;
    };
    this.shift.append(step("−", "an octave down", -12), this.octave, step("+", "an octave up", 12));
    const touch = element("input", { type: "range", min: 1, max: 127, value: this.velocity, label: "Touch: how hard typed keys strike" });
    touch.addEventListener("input", () => (this.velocity = Number(touch.value)));
    const toggle = (text: string, title: string, on: boolean, change: (on: boolean) => void) => {
      const button = element("button", { type: "button", class: "toggle", "aria-pressed": String(on), title, text });
      button.addEventListener("click", () => {
        const now = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(now));
        change(now);
      });
      return button;
    };
    const midi = element("button", { type: "button", class: "toggle", text: "Connect MIDI" });
    midi.addEventListener("click", () => void this.connect(midi));
    return element(
      "div",
      { class: "controls" },
      this.shift,
      element("label", { class: "group" }, "Touch ", touch),
      toggle("Hold", "Notes ring on, as with a pedal", false, (on) => this.hold(on)),
      toggle("Type to play", "The computer's keys play notes", true, (on) => (this.typing = on)),
      midi,
    );
  }

  /** Choose an instrument; its samples are decoded as soon as somebody chose it or comes near. */
  private take(role: string, load = true): void {
    this.sampler?.silence();
    this.sampler = undefined;
    this.role = role;
    this.low = (START[role] ?? 36) - (START[role] ?? 36) % 12;
    this.tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.className === role)));
    this.shift.hidden = role === "drums";
    this.draw();
    if (load) void this.ready();
    else this.board.addEventListener("pointerenter", () => void this.ready(), { once: true });
  }

  private async ready(): Promise<Sampler | undefined> {
    if (this.sampler) return this.sampler;
    const role = this.role;
    this.status.textContent = `Tuning the ${role}…`;
    try {
      const sampler = await this.band.sampler(role);
      if (role !== this.role) return undefined;
      this.sampler = sampler;
      sampler.sustain(this.holding);
      const ms = 1000 * (audio().baseLatency + (audio().outputLatency || 0));
      this.status.textContent = `Ready; this browser answers in about ${Math.max(1, Math.round(ms))} ms.`;
      if (role === "drums" && sampler.doc.names) this.nameDrums(sampler.doc.names);
      return sampler;
    } catch (error) {
      this.status.textContent = (error as Error).message;
      return undefined;
    }
  }

  // Keys and pads ---------------------------------------------------------------------------------------------------------

  private count(): number {
    const width = this.board.clientWidth || 900;
    return Math.min(36, Math.max(12, 12 * Math.floor(width / 300))) + 1;
  }

  private fit(): void {
    if (this.role !== "drums" && this.board.querySelectorAll(".key").length !== this.count()) this.draw();
  }

  private draw(): void {
    this.board.className = `board ${this.role} ${this.role === "drums" ? "pads" : "piano"}`;
    this.board.replaceChildren(...(this.role === "drums" ? this.pads() : this.piano()));
    this.board.querySelector("button")?.setAttribute("tabindex", "0");
    const last = this.low + this.count() - 1;
    this.octave.textContent = `${keyName(this.low)} – ${keyName(last)}`;
  }

  private piano(): HTMLElement[] {
    const first = this.low;
    const keys = Array.from({ length: this.count() }, (_, index) => first + index);
    const whites = keys.filter((key) => !isBlack(key)).length;
    let white = 0;
    return keys.map((key) => {
      const node = this.key(key, keyName(key), PIANO_CODES[key - first]);
      node.classList.add(isBlack(key) ? "black" : "white");
      const width = 100 / whites;
      node.style.left = `${isBlack(key) ? (white - 0.31) * width : white * width}%`;
      node.style.width = `${isBlack(key) ? 0.62 * width : width}%`;
      if (!isBlack(key)) white++;
      return node;
    });
  }

  private pads(): HTMLElement[] {
    const [low, high] = this.band.player("drums").keys;
    const rest = Array.from({ length: high - low + 1 }, (_, index) => low + index).filter((key) => !FIRST_DRUMS.includes(key));
    return [...FIRST_DRUMS, ...rest].map((key, index) => {
      const node = this.key(key, `drum ${key}`, PAD_CODES[index]);
      node.classList.add("pad");
      return node;
    });
  }

  private nameDrums(names: Record<string, string>): void {
    for (const node of this.board.querySelectorAll<HTMLElement>(".pad")) {
      const name = names[node.dataset.key!];
      if (!name) continue;
      node.setAttribute("aria-label", name);
      node.querySelector("span")!.textContent = name;
    }
  }

  private key(key: number, name: string, code?: string): HTMLButtonElement {
    const node = element("button", { type: "button", class: "key", "data-key": key, tabindex: -1, label: name });
    node.append(element("span", { text: this.role === "drums" || key % 12 === 0 ? name : "" }));
    if (code) node.append(element("kbd", { "aria-hidden": "true", text: code.replace("Key", "").replace("Semicolon", ";") }));
    return node;
  }

  private move(by: number): void {
    this.low = Math.min(96, Math.max(12, this.low + by));
    this.draw();
  }

  /** Fingers, mouse, Enter and Space on a key; arrows go from key to key. */
  private keys(): void {
    const keyAt = (target: EventTarget | null) => (target as HTMLElement | null)?.closest?.<HTMLElement>(".key") ?? null;
    const touch = (id: string, node: HTMLElement | null, y: number) => {
      const key = node && this.board.contains(node) ? Number(node.dataset.key) : undefined;
      if (this.held.get(id) === key) return;
      this.lift(id);
      if (key === undefined) return;
      const place = node!.getBoundingClientRect();
      const low = Math.min(1, Math.max(0, (y - place.top) / place.height)); // nearer to the player is harder, as on a pad
      this.press(id, key, Math.round(45 + 75 * low));
    };
    this.board.addEventListener("pointerdown", (event) => {
      const node = keyAt(event.target);
      if (!node) return;
      if (event.pointerType !== "mouse") node.releasePointerCapture?.(event.pointerId);
      touch(`pointer ${event.pointerId}`, node, event.clientY);
    });
    this.board.addEventListener("pointermove", (event) => {
      if (!this.held.has(`pointer ${event.pointerId}`)) return;
      touch(`pointer ${event.pointerId}`, keyAt(document.elementFromPoint(event.clientX, event.clientY)), event.clientY);
    });
    for (const name of ["pointerup", "pointercancel"] as const) {
      window.addEventListener(name, (event) => this.lift(`pointer ${event.pointerId}`));
    }
    this.board.addEventListener("click", (event) => {
      const node = keyAt(event.target);
      if (!node || event.detail !== 0 || this.held.has("focus")) return; // a click without a pointer: assistive technology
      this.press("click", Number(node.dataset.key), this.velocity);
      setTimeout(() => this.lift("click"), 400);
    });
    this.board.addEventListener("keydown", (event) => this.onBoardKey(event, keyAt(event.target)));
    this.board.addEventListener("keyup", () => this.lift("focus"));
    window.addEventListener("keydown", (event) => this.onTyped(event));
    window.addEventListener("keyup", (event) => this.lift(event.code));
    window.addEventListener("blur", () => this.liftAll());
  }

  private onBoardKey(event: KeyboardEvent, node: HTMLElement | null): void {
    if (!node) return;
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const all = [...this.board.querySelectorAll<HTMLElement>(".key")];
      const next = all[Math.min(all.length - 1, Math.max(0, all.indexOf(node) + step))];
      node.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else if ((event.key === "Enter" || event.key === " ") && !event.repeat) {
      event.preventDefault();
      this.press("focus", Number(node.dataset.key), this.velocity);
    }
  }

  private onTyped(event: KeyboardEvent): void {
    if (!this.typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    if (target.closest("select, textarea, input:not([type=range])")) return;
    const codes = this.role === "drums" ? PAD_CODES : PIANO_CODES;
    const index = codes.indexOf(event.code);
    if (index >= 0) {
      const key = this.role === "drums" ? FIRST_DRUMS[index] : this.low + index;
      this.press(event.code, key, this.velocity);
    } else if (this.role !== "drums" && (event.code === "KeyZ" || event.code === "KeyX")) {
      this.move(event.code === "KeyZ" ? -12 : 12);
    }
  }

  private press(by: string, key: number, velocity: number): void {
    if (this.held.has(by)) return;
    this.held.set(by, key);
    this.light(key, true);
    this.onPlay();
    if (this.sampler && audio().state === "running") {
      this.sampler.noteOn(key, velocity);
      return;
    }
    void Promise.all([this.ready(), awake()]).then(([sampler]) => {
      if (this.held.get(by) === key) sampler?.noteOn(key, velocity); // still down once the samples are there
    });
  }

  private lift(by: string): void {
    const key = this.held.get(by);
    if (key === undefined) return;
    this.held.delete(by);
    this.light(key, false);
    this.sampler?.noteOff(key);
  }

  private liftAll(): void {
    for (const by of [...this.held.keys()]) this.lift(by);
  }

  private light(key: number, on: boolean): void {
    this.board.querySelector(`[data-key="${key}"]`)?.classList.toggle("down", on);
  }

  private hold(on: boolean): void {
    this.holding = on;
    this.sampler?.sustain(on);
  }

  // MIDI ------------------------------------------------------------------------------------------------------------------

  private async connect(button: HTMLButtonElement): Promise<void> {
    if (!navigator.requestMIDIAccess) {
      this.status.textContent = "This browser has no Web MIDI: Chrome, Edge, Opera and Firefox have.";
      return;
    }
    try {
      const access = await navigator.requestMIDIAccess();
      const listen = () => {
        const names = [...access.inputs.values()].map((input) => {
          input.onmidimessage = (event) => event.data && this.onMidi(event.data);
          return input.name ?? "a keyboard";
        });
        this.status.textContent = names.length ? `Listening to ${names.join(", ")}.` : "No MIDI keyboard is connected: plug one in.";
      };
      access.onstatechange = listen;
      listen();
      button.setAttribute("aria-pressed", "true");
      void awake();
      void this.ready();
    } catch {
      this.status.textContent = "The browser did not allow MIDI: allow it for this page and try again.";
    }
  }

  private onMidi([status, one, two]: Uint8Array): void {
    const kind = status & 0xf0;
    if (kind === 0x90 && two) {
      this.lift(`midi ${one}`);
      this.press(`midi ${one}`, one, two);
    } else if (kind === 0x80 || kind === 0x90) this.lift(`midi ${one}`);
    else if (kind === 0xb0 && one === 64) this.sampler?.sustain(two >= 64);
    else if (kind === 0xb0 && (one === 120 || one === 123)) this.sampler?.silence();
    else if (kind === 0xe0) this.sampler?.bend((((two << 7) | one) - 8192) / 8192);
  }
}
