// Drawing: canvases that are as sharp as the screen, in the colours of the theme, drawn again when either changes.

export type Draw = (paint: CanvasRenderingContext2D, width: number, height: number) => void;

const drawn = new Set<() => void>();

export function canvas(node: HTMLCanvasElement, draw: Draw): () => void {
  const again = () => {
    const width = node.clientWidth;
    const height = node.clientHeight;
    if (!width || !height) return;
    const ratio = Math.min(3, devicePixelRatio || 1);
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (node.width !== w || node.height !== h) [node.width, node.height] = [w, h];
    const paint = node.getContext("2d")!;
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, width, height);
    draw(paint, width, height);
  };
  new ResizeObserver(again).observe(node);
  drawn.add(again);
  return again;
}

let known = new Map<string, string>();

/** A colour of the theme: --name. */
export function colour(name: string): string {
  let value = known.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    known.set(name, value);
  }
  return value;
}

export function rgb(name: string): [number, number, number] {
  const value = parseInt(colour(name).slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  known = new Map();
  for (const again of drawn) again();
});

export const still = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Call on every frame while it is wanted and the page is seen. */
export function frames(step: () => boolean): () => void {
  let running = false;
  const run = () => {
    running = step();
    if (running) requestAnimationFrame(run);
  };
  return () => {
    if (!running) {
      running = true;
      requestAnimationFrame(run);
    }
  };
}
