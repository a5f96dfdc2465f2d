// One AudioContext for all that plays, at the rate of our samples: nothing is resampled, and loop points stay where they are.

export const SAMPLE_RATE = 44100;

let context: AudioContext | undefined;
let output: AudioNode | undefined;

export function audio(): AudioContext {
  context ??= new AudioContext({ latencyHint: "interactive", sampleRate: SAMPLE_RATE });
  return context;
}

/** Wake the context; browsers want a gesture first. */
export async function awake(): Promise<AudioContext> {
  const ctx = audio();
  if (ctx.state !== "running") await ctx.resume();
  return ctx;
}

/** Where the instruments play to: their sum, bent gently before it would clip. */
export function instrumentsOutput(): AudioNode {
  output ??= softLimit(audio(), audio().destination);
  return output;
}

const REACH = 4; // the shaper's curve spans -4..4 of full scale
const KNEE = 0.7;

/** A node into which any level may go and out of which comes less than full scale. It is straight below the knee, and costs no delay. */
export function softLimit(ctx: BaseAudioContext, destination: AudioNode): AudioNode {
  const input = new GainNode(ctx, { gain: 1 / REACH });
  const curve = new Float32Array(8193);
  for (let index = 0; index < curve.length; index++) {
    const x = ((2 * index) / (curve.length - 1) - 1) * REACH;
    const over = Math.max(0, Math.abs(x) - KNEE);
    curve[index] = Math.sign(x) * (Math.min(Math.abs(x), KNEE) + (1 - KNEE) * 0.97 * Math.tanh(over / (1 - KNEE)));
  }
  input.connect(new WaveShaperNode(ctx, { curve })).connect(destination);
  return input;
}
