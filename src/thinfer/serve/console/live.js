// Reads /metrics each second and draws what happened between the readings.

import { Chart, WINDOW_S } from './charts.js';
import { element, find, say, showMilliseconds, showNumber, showPercent } from './elements.js';
import { grown, has, quantile, read, sum, sumBy } from './metrics.js';
import { scrape } from './service.js';

const EVERY_MS = 1000;
const TIMEOUT_MS = 5000;
// Percentiles of one second are of too few requests.
const LATENCY_READINGS = 5;
const TONES = ['one', 'two', 'three', 'four', 'five'];
// Routes that classify; the others operate the service, and this page reads one of them each second.
const TRAFFIC = /^\/(check|predict|v1\/moderations|v2\/.*\/infer)$/;
// Counted by outcome since the service was started; shown where there is anything to show.
const COUNTS = { Shadow: 'thinfer_shadow_texts_total', Cascade: 'thinfer_cascade_total', Gate: 'thinfer_gate_total', Cache: 'thinfer_cache_total' };

const isTraffic = (labels) => TRAFFIC.test(labels.get('route') ?? '');
const isRefused = (labels) => isTraffic(labels) && labels.get('outcome') === 'refused';
const isFailed = (labels) => isTraffic(labels) && labels.get('outcome') === 'failed';
const isAnswered = (labels) => labels.get('outcome') === undefined || labels.get('outcome') === 'ok';

const perSecond = (count, seconds) => (count === null ? null : count / seconds);

// `readings`: [{ time, samples }], the latest last, at least two.
export function compare(readings) {
  const [before, after] = readings.slice(-2);
  const seconds = after.time - before.time;
  const [old, now] = [before.samples, after.samples];
  const earlier = readings.at(-1 - LATENCY_READINGS) ?? readings[0];
  const rank = (q) => {
    const found = quantile(q, earlier.samples, now, 'thinfer_request_seconds', isTraffic);
    return found === null ? null : found * 1000;
  };
  const calls = grown(old, now, 'thinfer_batch_size_count');
  const texts = grown(old, now, 'thinfer_batch_size_sum');
  return {
    time: after.time,
    requests: perSecond(grown(old, now, 'thinfer_requests_total', isTraffic), seconds),
    refused: perSecond(grown(old, now, 'thinfer_requests_total', isRefused), seconds),
    failed: perSecond(grown(old, now, 'thinfer_requests_total', isFailed), seconds),
    p50: rank(0.5),
    p99: rank(0.99),
    batch: calls ? texts / calls : null,
    queue: sum(now, 'thinfer_queue_depth'),
    arms: armsBetween(old, now, seconds),
  };
}

// version → requests a second; null where the service does not count by version.
function armsBetween(old, now, seconds) {
  const name = 'thinfer_version_requests_total';
  if (!has(now, name)) return null;
  const before = sumBy(old, name, 'version', isAnswered);
  const arms = {};
  for (const [version, count] of sumBy(now, name, 'version', isAnswered)) {
    arms[version] = Math.max(0, count - (before.get(version) ?? 0)) / seconds;
  }
  return arms;
}

const CHARTS = [
  { title: 'Requests a second', note: 'classify routes only', format: showNumber,
    series: [{ key: 'requests', label: 'all', tone: 'one' }, { key: 'refused', label: 'refused', tone: 'three', isRare: true }, { key: 'failed', label: 'failed', tone: 'bad', isRare: true }] },
  { title: 'Latency', note: 'ms, over 5 s, from the histogram', format: showMilliseconds,
    series: [{ key: 'p50', label: 'p50', tone: 'one' }, { key: 'p99', label: 'p99', tone: 'three' }] },
  { title: 'Texts a batch', note: 'mean of the engine calls', format: showNumber, series: [{ key: 'batch', label: 'texts', tone: 'one' }] },
  { title: 'Queue', note: 'texts that wait for the engine', format: showNumber, series: [{ key: 'queue', label: 'texts', tone: 'one' }] },
];

export class Live {
  // `onVersions` hears the names of the versions that the counters know, and the one that answers.
  constructor(onVersions) {
    this.onVersions = onVersions;
    this.readings = [];
    this.points = [];
    this.tones = new Map();
    this.isPaused = false;
    const holder = find('charts');
    this.charts = CHARTS.map((setting) => new Chart(holder, setting));
    this.arms = null;
    this.chartHolder = holder;
    const pause = find('pause');
    pause.addEventListener('click', () => {
      this.isPaused = !this.isPaused;
      pause.setAttribute('aria-pressed', String(this.isPaused));
      pause.textContent = this.isPaused ? 'Go on' : 'Pause';
      this.show(this.isPaused ? 'paused' : 'live');
    });
  }

  async run() {
    for (;;) {
      // A page that nobody sees asks nothing.
      if (!this.isPaused && !document.hidden) await this.tick();
      await new Promise((resume) => setTimeout(resume, EVERY_MS));
    }
  }

  async tick() {
    try {
      const { text, current } = await scrape(AbortSignal.timeout(TIMEOUT_MS));
      if (this.isPaused) return;
      const samples = read(text);
      this.show('live');
      say(find('live-message'), '');
      this.take({ time: performance.now() / 1000, samples });
      this.onVersions(this.namesOf(samples), current);
    } catch (error) {
      this.readings = [];
      this.show('away');
      say(find('live-message'), error.name === 'TimeoutError' ? 'The service does not answer.' : error.message, 'bad');
    }
  }

  take(reading) {
    const last = this.readings.at(-1);
    const isGap = last && reading.time - last.time > 5;
    this.readings = [...(isGap ? [] : this.readings), reading].slice(-1 - LATENCY_READINGS);
    const start = reading.time - WINDOW_S;
    this.points = this.points.filter((point) => point.time >= start);
    // The first reading after a gap breaks the lines.
    this.points.push(this.readings.length > 1 ? compare(this.readings) : { time: reading.time, queue: null, arms: null });
    this.drawArms(reading.samples);
    this.writeCounts(reading.samples);
    for (const chart of this.charts) chart.draw(this.points.map(({ time, ...values }) => ({ time, values })), reading.time);
  }

  namesOf(samples) {
    const split = sumBy(samples, 'thinfer_split_share', 'version');
    return [...(split.size > 0 ? split : sumBy(samples, 'thinfer_version_info', 'version')).keys()];
  }

  toneOf(version) {
    if (!this.tones.has(version)) this.tones.set(version, TONES[this.tones.size % TONES.length]);
    return this.tones.get(version);
  }

  drawArms(samples) {
    const names = [...sumBy(samples, 'thinfer_version_requests_total', 'version').keys()];
    if (names.length === 0) return;
    this.arms ??= new Chart(this.chartHolder, {
      title: 'Answers by version', note: 'a second, one above the other', series: [], isStacked: true,
      format: (value, values) => this.share(value, values),
    });
    const seen = names.filter((name) => this.points.some(({ arms }) => arms?.[name] > 0));
    this.arms.series = (seen.length > 0 ? seen : names).map((name) => ({ key: name, label: name, tone: this.toneOf(name) }));
    const points = this.points.map(({ time, arms }) => ({ time, values: arms ?? {} }));
    this.arms.draw(points, this.points.at(-1).time);
  }

  share(value, values) {
    const total = this.arms.series.reduce((sum, { key }) => sum + (values?.[key] ?? 0), 0);
    return value === null || total === 0 ? '–' : showPercent(value / total);
  }

  writeCounts(samples) {
    const lines = Object.entries(COUNTS).flatMap(([title, name]) => {
      const outcomes = [...sumBy(samples, name, 'outcome')].filter(([, count]) => count > 0);
      const said = outcomes.map(([outcome, count]) => `${outcome} ${count.toLocaleString('en')}`).join(' · ');
      return said ? [element('span', {}, `${title} `, element('b', {}, said))] : [];
    });
    find('counts').replaceChildren(...lines);
    find('counts').hidden = lines.length === 0;
  }

  show(state) {
    const words = { live: 'live', away: 'no answer', paused: 'paused' };
    find('state').className = `dot-state ${state}`;
    // Written only when it changes, or a screen reader would say it each second.
    if (find('state').textContent !== words[state]) find('state').textContent = words[state];
  }
}
