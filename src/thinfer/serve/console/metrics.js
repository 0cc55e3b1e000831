// The Prometheus text form: read it, and tell what happened between two readings.

const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;
const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+(\S+)/;
const NUMBERS = { '+Inf': Infinity, Inf: Infinity, '-Inf': -Infinity, NaN };

// name → [{ labels: Map, value }]
export function read(text) {
  const samples = new Map();
  for (const line of text.split('\n')) {
    const found = line.startsWith('#') ? null : LINE.exec(line);
    if (!found) continue;
    const labels = new Map();
    for (const [, name, raw] of (found[2] ?? '').matchAll(LABEL)) {
      labels.set(name, raw.replace(/\\(.)/g, (_, sign) => (sign === 'n' ? '\n' : sign)));
    }
    const value = NUMBERS[found[3]] ?? Number(found[3]);
    if (!samples.has(found[1])) samples.set(found[1], []);
    samples.get(found[1]).push({ labels, value });
  }
  return samples;
}

const all = () => true;

export const has = (samples, name) => samples.has(name);

// null where the service does not count this at all.
export function sum(samples, name, keep = all) {
  if (!samples.has(name)) return null;
  return samples.get(name).reduce((total, { labels, value }) => (keep(labels) ? total + value : total), 0);
}

// value of the label → sum
export function sumBy(samples, name, label, keep = all) {
  const sums = new Map();
  for (const { labels, value } of samples.get(name) ?? []) {
    const key = labels.get(label);
    if (key !== undefined && keep(labels)) sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}

// A counter that fell belongs to a process that was started again: nothing can be said.
export function grown(before, after, name, keep = all) {
  const [old, now] = [sum(before, name, keep), sum(after, name, keep)];
  if (now === null) return null;
  const difference = now - (old ?? 0);
  return difference < 0 ? null : difference;
}

function buckets(samples, name, keep) {
  const sums = sumBy(samples, `${name}_bucket`, 'le', keep);
  return [...sums].map(([bound, count]) => ({ bound: NUMBERS[bound] ?? Number(bound), count })).sort((a, b) => a.bound - b.bound);
}

// The value that a share `q` of the observations between two readings did not pass, estimated as
// Prometheus does: even within a bucket; above the last finite bound, that bound.
export function quantile(q, before, after, name, keep = all) {
  const old = new Map(buckets(before, name, keep).map(({ bound, count }) => [bound, count]));
  const counts = buckets(after, name, keep).map(({ bound, count }) => ({ bound, count: count - (old.get(bound) ?? 0) }));
  const total = counts.at(-1)?.count ?? 0;
  if (total <= 0 || counts.some(({ count }) => count < 0)) return null;
  const rank = q * total;
  const index = counts.findIndex(({ count }) => count >= rank);
  const { bound, count } = counts[index];
  const [below, under] = index > 0 ? [counts[index - 1].bound, counts[index - 1].count] : [0, 0];
  if (bound === Infinity) return below;
  return count === under ? bound : below + ((bound - below) * (rank - under)) / (count - under);
}
