// Small parts that every view uses. Text goes in as text only: nothing here takes markup.

import { element } from "../data";

export { element };

export const button = (text: string, act: (event: MouseEvent) => void, options: Record<string, unknown> = {}): HTMLButtonElement => {
  const made = element("button", { type: "button", text, ...options });
  made.addEventListener("click", act);
  return made;
};

let numbers = 0;
export const freshId = (stem: string): string => `${stem}-${++numbers}`;

const announcer = element("p", { class: "unseen", role: "status" });

/** Say something to who listens to the page: it is not seen. */
export function announce(text: string): void {
  if (!announcer.isConnected) document.body.append(announcer);
  announcer.textContent = text;
}

export const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

/** "a, b and c" */
export const listed = (names: string[]): string =>
  names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;

const DAY_MS = 86_400_000;
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "5 minutes ago", "yesterday", "3 May 2026" */
export function since(time: string): string {
  const then = new Date(time);
  const passed = Date.now() - then.getTime();
  if (!Number.isFinite(passed)) return "";
  if (passed < 60_000) return "just now";
  if (passed < 3_600_000) return relative.format(-Math.round(passed / 60_000), "minute");
  if (passed < DAY_MS) return relative.format(-Math.round(passed / 3_600_000), "hour");
  if (passed < 14 * DAY_MS) return relative.format(-Math.round(passed / DAY_MS), "day");
  return then.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
}

/** A line for what went wrong; empty while nothing has. */
export class Problem {
  readonly node = element("div", { class: "problem", role: "alert", hidden: "" });

  tell(text: string, ...actions: HTMLElement[]): void {
    this.node.hidden = false;
    this.node.replaceChildren(element("p", { text }), ...actions);
  }

  clear(): void {
    this.node.hidden = true;
    this.node.replaceChildren();
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A button while its work runs: it takes no second press. */
export async function busy(pressed: HTMLButtonElement, work: () => Promise<void>): Promise<void> {
  if (pressed.getAttribute("aria-disabled") === "true") return;
  pressed.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    pressed.removeAttribute("aria-disabled");
  }
}

/** A chooser of one file that looks like a button. */
export function fileButton(text: string, accept: string, take: (file: File) => void, options: { class?: string } = {}): HTMLElement {
  const input = element("input", { type: "file", accept, class: "unseen" });
  input.addEventListener("change", () => {
    if (input.files?.[0]) take(input.files[0]);
    input.value = "";
  });
  return element("label", { class: `file ${options.class ?? ""}` }, input, element("span", { text }));
}

export const PICTURES = "image/*,.jpg,.jpeg,.png,.webp,.tif,.tiff,.heic,.avif,.bmp,.gif";
export const SCORES = ".mid,.midi,audio/midi,audio/x-midi";

export const isPicture = (file: File): boolean => file.type.startsWith("image/") || /\.(jpe?g|png|webp|tiff?|hei[cf]|avif|bmp|gif)$/i.test(file.name);
export const isScore = (file: File): boolean => /midi?$/i.test(file.type) || /\.midi?$/i.test(file.name);

/** Files that are dropped anywhere on the page. `invite` says what is wanted here, or nothing where nothing is. */
export class DropArea {
  private readonly veil = element("div", { class: "veil", hidden: "" }, element("p"));
  private depth = 0;
  invite = "";
  take: (file: File) => void = () => {};

  constructor() {
    document.body.append(this.veil);
    addEventListener("dragenter", (event) => this.over(event, 1));
    addEventListener("dragleave", (event) => this.over(event, -1));
    addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    addEventListener("drop", (event) => this.drop(event));
  }

  private over(event: DragEvent, step: number): void {
    if (!hasFiles(event)) return;
    event.preventDefault();
    this.depth = Math.max(0, this.depth + step);
    this.veil.firstElementChild!.textContent = this.invite;
    this.veil.hidden = this.depth === 0 || !this.invite;
  }

  private drop(event: DragEvent): void {
    if (!hasFiles(event)) return;
    event.preventDefault(); // else the browser leaves the page for the file
    this.depth = 0;
    this.veil.hidden = true;
    const file = event.dataTransfer?.files[0];
    if (file) this.take(file);
  }
}

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
