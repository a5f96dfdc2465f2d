// On a run's page, when the player serves it: a link into the studio. On disk the page is without it.

const run = (document.currentScript as HTMLScriptElement | null)?.dataset.run;
const brand = document.querySelector<HTMLElement>(".brand");
if (run && brand) {
  const link = (href: string, textContent: string) => Object.assign(document.createElement("a"), { href, textContent });
  Object.assign(brand.style, { position: "relative", zIndex: "1" }); // above the box of the tall heading, which reaches over it
  brand.replaceChildren(link("/", "photone"), " · ", link(`/#/run/${run}`, "Open in the studio"));
}

export {};
