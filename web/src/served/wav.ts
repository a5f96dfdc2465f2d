// A song's file as sound, a stretch at a time: WAV is read by ranges, so that an hour of music costs no more memory than a
// minute; other formats are decoded whole.

const STRETCH_S = 8;
const HEAD_BYTES = 1 << 16;
const WHOLE_LIMIT_S = 20 * 60; // decoded, 20 minutes of stereo take 420 MB

/** A stretch of a song: the buffer's first frame sounds at `at_s`. */
export interface Piece {
  buffer: AudioBuffer;
  at_s: number;
}

export interface Sound {
  readonly stretch_s: number;
  piece(index: number): Promise<Piece>;
}

interface Layout {
  float: boolean;
  bits: number;
  channels: number;
  rate: number;
  begin: number; // of the samples, in bytes
  bytes: number;
}

export async function openSound(ctx: BaseAudioContext, url: string, duration_s: number): Promise<Sound> {
  if (/\.wav$/i.test(new URL(url, location.href).pathname)) return new WavSound(ctx, url, readLayout(await range(url, 0, HEAD_BYTES)));
  if (duration_s > WHOLE_LIMIT_S) throw new Error("This song is too long to compare here: only WAV files may be longer than 20 minutes.");
  return new WholeSound(ctx, url, duration_s);
}

async function range(url: string, begin: number, bytes: number): Promise<DataView> {
  const answer = await fetch(url, { headers: { Range: `bytes=${begin}-${begin + bytes - 1}` } });
  if (answer.status !== 206) throw new Error(`The song could not be read (${answer.status}): make it again.`);
  return new DataView(await answer.arrayBuffer());
}

const tag = (view: DataView, at: number) => String.fromCharCode(view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2), view.getUint8(at + 3));

/** Where the samples of a WAV file lie: RIFF or RF64, PCM of 16, 24 or 32 bits, or 32-bit floats. */
export function readLayout(view: DataView): Layout {
  const found: Partial<Layout> = {};
  let long = 0; // RF64 keeps the true length of the samples in a chunk of its own
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const name = tag(view, at);
    const size = view.getUint32(at + 4, true);
    if (name === "ds64") long = Number(view.getBigUint64(at + 16, true));
    if (name === "fmt ") {
      const kind = view.getUint16(at + 8, true);
      const code = kind === 0xfffe ? view.getUint16(at + 32, true) : kind;
      Object.assign(found, { float: code === 3, channels: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true), bits: view.getUint16(at + 22, true) });
      if (code !== 1 && code !== 3) break;
    }
    if (name === "data" && found.rate) return { ...(found as Layout), begin: at + 8, bytes: size === 0xffffffff ? long : size };
    at += 8 + size + (size & 1);
  }
  throw new Error("The song is no WAV file that can be played here: make it again.");
}

/** Interleaved samples as one array of floats a channel. */
export function unpack(view: DataView, layout: Layout): Float32Array<ArrayBuffer>[] {
  const { bits, channels, float } = layout;
  const width = bits / 8;
  const frames = Math.floor(view.byteLength / (width * channels));
  const read = float
    ? (at: number) => view.getFloat32(at, true)
    : bits === 16
      ? (at: number) => view.getInt16(at, true) / 32768
      : bits === 24
        ? (at: number) => (view.getUint16(at, true) | (view.getInt8(at + 2) << 16)) / 8388608
        : (at: number) => view.getInt32(at, true) / 2147483648;
  return Array.from({ length: channels }, (_, channel) => {
    const out = new Float32Array(frames);
    for (let frame = 0, at = channel * width; frame < frames; frame++, at += channels * width) out[frame] = read(at);
    return out;
  });
}

class WavSound implements Sound {
  readonly stretch_s = STRETCH_S;
  private readonly kept = new Map<number, Promise<Piece>>();

  constructor(
    private readonly ctx: BaseAudioContext,
    private readonly url: string,
    private readonly layout: Layout,
  ) {}

  piece(index: number): Promise<Piece> {
    for (const other of this.kept.keys()) if (Math.abs(other - index) > 2) this.kept.delete(other);
    let loading = this.kept.get(index);
    if (!loading) {
      loading = this.load(index);
      this.kept.set(index, loading);
      loading.catch(() => this.kept.delete(index));
    }
    return loading;
  }

  private async load(index: number): Promise<Piece> {
    const { rate, channels, bits, begin, bytes } = this.layout;
    const frame = channels * (bits / 8);
    const from = index * STRETCH_S * rate * frame;
    const view = await range(this.url, begin + from, Math.min(STRETCH_S * rate * frame, bytes - from));
    const samples = unpack(view, this.layout);
    const buffer = this.ctx.createBuffer(channels, samples[0].length, rate);
    samples.forEach((channel, which) => buffer.copyToChannel(channel, which));
    return { buffer, at_s: index * STRETCH_S };
  }
}

class WholeSound implements Sound {
  private whole?: Promise<AudioBuffer>;

  constructor(
    private readonly ctx: BaseAudioContext,
    private readonly url: string,
    readonly stretch_s: number,
  ) {}

  async piece(): Promise<Piece> {
    this.whole ??= this.decode();
    this.whole.catch(() => (this.whole = undefined));
    return { buffer: await this.whole, at_s: 0 };
  }

  private async decode(): Promise<AudioBuffer> {
    const answer = await fetch(this.url);
    if (!answer.ok) throw new Error(`The song could not be read (${answer.status}): make it again.`);
    return this.ctx.decodeAudioData(await answer.arrayBuffer());
  }
}
