/** One look at the controller's memory. `life`: its process id, since a killed controller begins anew. */
export interface Sample {
  atMs: number;
  life: number;
  bytes: number;
}

export interface Slope {
  mibPerMinute: number;
  /** How long the samples that count were taken, and how many there are. */
  minutes: number;
  samples: number;
  firstMib: number;
  lastMib: number;
}

const MIB = 2 ** 20;

/** Least squares over the last life without its first part (`warmUp`, 0 to 1). Undefined: too few samples. */
export function slopeOf(samples: readonly Sample[], warmUp: number): Slope | undefined {
  const life = samples.at(-1)?.life;
  const last = samples.filter((sample) => sample.life === life);
  const [begin, end] = [last[0]?.atMs ?? 0, last.at(-1)?.atMs ?? 0];
  const counted = last.filter(({ atMs }) => atMs >= begin + warmUp * (end - begin));
  const [first, final] = [counted[0], counted.at(-1)];
  if (first === undefined || final === undefined || counted.length < 3) return undefined;
  const x = counted.map(({ atMs }) => (atMs - first.atMs) / 60_000);
  const y = counted.map(({ bytes }) => bytes / MIB);
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const over = x.reduce((sum, at, i) => sum + (at - mx) * ((y[i] ?? 0) - my), 0);
  const under = x.reduce((sum, at) => sum + (at - mx) ** 2, 0);
  return {
    mibPerMinute: Math.round((over / under) * 1000) / 1000,
    minutes: Math.round((x.at(-1) ?? 0) * 10) / 10,
    samples: counted.length,
    firstMib: Math.round(y[0] ?? 0),
    lastMib: Math.round(y.at(-1) ?? 0),
  };
}
