// Charts over the last two minutes, drawn as SVG at the size that they have on the screen.

import { drawing, element } from './elements.js';

export const WINDOW_S = 120;
const HEIGHT = 140;
const EDGE = { top: 10, right: 8, bottom: 20, left: 46 };
const STEPS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];
// A young page shows less, so that its charts are not empty.
const SPANS_S = [30, 60, WINDOW_S];

// The smallest round number that is not below the value; half of it is round as well.
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * STEPS.find((step) => step * power >= value * 0.999999);
}

// Runs of points without a gap: [[{ x, y }, …], …]
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point === null) found.push([]);
    else found.at(-1).push(point);
  }
  return found.filter((run) => run.length > 0);
}

const road = (run) => run.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L');

export class Chart {
  // `series`: [{ key, label, tone, isRare }]; may be set anew at any time; one that is rare is not
  // drawn while it is zero. `format` writes a value.
  constructor(holder, { title, note, series, format, isStacked = false }) {
    this.series = series;
    this.format = format;
    this.isStacked = isStacked;
    this.title = title;
    this.points = [];
    this.now = 0;
    this.picked = null; // the time that the reader points at
    this.legend = element('p', { class: 'legend' });
    this.svg = drawing('svg', { role: 'img', tabindex: '0', height: HEIGHT });
    holder.append(element('figure', { class: 'chart' },
      element('figcaption', {}, element('h3', {}, title), element('small', {}, note), this.legend), this.svg));
    this.svg.addEventListener('pointermove', (event) => this.pickAt(event.clientX - this.svg.getBoundingClientRect().left));
    this.svg.addEventListener('pointerleave', () => this.pick(null));
    this.svg.addEventListener('blur', () => this.pick(null));
    this.svg.addEventListener('keydown', (event) => this.step(event));
    new ResizeObserver(() => this.draw(this.points, this.now)).observe(this.svg);
  }

  get width() {
    return Math.max(120, this.svg.getBoundingClientRect().width);
  }

  get span() {
    const age = this.points.length > 0 ? this.now - this.points[0].time : 0;
    return SPANS_S.find((span) => age <= span) ?? WINDOW_S;
  }

  x(time) {
    const inner = this.width - EDGE.left - EDGE.right;
    return EDGE.left + inner * (1 - (this.now - time) / this.span);
  }

  pickAt(x) {
    const near = (point) => Math.abs(this.x(point.time) - x);
    const nearest = this.points.reduce((best, point) => (best && near(best) <= near(point) ? best : point), null);
    this.pick(nearest && near(nearest) < 30 ? nearest.time : null);
  }

  pick(time) {
    this.picked = time;
    this.draw(this.points, this.now);
  }

  step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === 'Escape') this.pick(null);
    if (!move || this.points.length === 0) return;
    event.preventDefault();
    const found = this.points.findIndex((point) => point.time === this.picked);
    const last = this.points.length - 1;
    const next = found < 0 ? last : Math.min(last, Math.max(0, found + move));
    this.pick(this.points[next].time);
  }

  // `points`: [{ time, values: { key: number or null } }] in the order of time, in seconds.
  draw(points, now) {
    this.points = points;
    this.now = now;
    const shown = points.find((point) => point.time === this.picked) ?? points.at(-1);
    this.write(shown);
    const top = roundUp(Math.max(0, ...points.map((point) => this.highest(point))));
    const y = (value) => HEIGHT - EDGE.bottom - (HEIGHT - EDGE.top - EDGE.bottom) * (value / top);
    const parts = [...this.grid(top, y), ...(this.isStacked ? this.areas(points, y) : this.lines(points, y))];
    if (shown && this.picked !== null) {
      parts.push(drawing('line', { class: 'picked', x1: this.x(shown.time), x2: this.x(shown.time), y1: EDGE.top, y2: HEIGHT - EDGE.bottom }));
    }
    this.svg.setAttribute('viewBox', `0 0 ${this.width} ${HEIGHT}`);
    this.svg.replaceChildren(...parts);
  }

  highest({ values }) {
    const known = this.series.map(({ key }) => values[key] ?? 0);
    return this.isStacked ? known.reduce((a, b) => a + b, 0) : Math.max(0, ...known);
  }

  write(shown) {
    const said = this.series.map(({ key, label, tone }) => {
      const value = this.format(shown?.values[key] ?? null, shown?.values);
      return { label, tone, value };
    });
    const isAlone = said.length === 1;
    this.legend.replaceChildren(...said.map(({ label, tone, value }) => element('span', { class: isAlone ? 'alone' : '' },
      isAlone ? null : element('i', { class: `swatch ${tone}` }), isAlone ? null : `${label} `, element('b', {}, value))));
    if (this.picked !== null && shown) {
      this.legend.append(element('span', { class: 'when' }, `${Math.round(this.now - shown.time)} s ago`));
    }
    this.svg.setAttribute('aria-label', `${this.title}: ${said.map(({ label, value }) => `${label} ${value}`).join(', ')}`);
  }

  grid(top, y) {
    const lines = [0, 0.5, 1].flatMap((share) => [
      drawing('line', { class: 'grid', x1: EDGE.left, x2: this.width - EDGE.right, y1: y(top * share), y2: y(top * share) }),
      drawing('text', { class: 'tick end', x: EDGE.left - 7, y: y(top * share) + 4 }, this.tick(top * share)),
    ]);
    const ages = [['', 1], ['mid', 0.5], ['end', 0]].map(([place, share]) => drawing('text', {
      class: `tick ${place}`, x: this.x(this.now - this.span * share), y: HEIGHT - 4,
    }, share === 0 ? 'now' : `${this.span * share} s ago`));
    return [...lines, ...ages];
  }

  tick(value) {
    return value >= 1000 ? `${Number((value / 1000).toFixed(2))}k` : String(Number(value.toPrecision(3)));
  }

  lines(points, y) {
    const shown = this.series.filter(({ key, isRare }) => !isRare || points.some(({ values }) => values[key] > 0));
    return shown.flatMap(({ key, tone }, place) => {
      const dots = points.map(({ time, values }) => (values[key] === null || values[key] === undefined ? null : { x: this.x(time), y: y(values[key]) }));
      return runs(dots).flatMap((run) => [
        place === 0 && run.length > 1 && drawing('path', { class: `area ${tone}`, d: `M${run[0].x.toFixed(1)} ${y(0)}L${road(run)}L${run.at(-1).x.toFixed(1)} ${y(0)}Z` }),
        run.length > 1 && drawing('path', { class: `line ${tone}`, d: `M${road(run)}` }),
        drawing('circle', { class: `dot ${tone}`, cx: run.at(-1).x.toFixed(1), cy: run.at(-1).y.toFixed(1), r: 2.5 }),
      ]).filter(Boolean);
    });
  }

  areas(points, y) {
    const floors = points.map(() => 0);
    return this.series.flatMap(({ key, tone }) => {
      const bands = points.map(({ time, values }, place) => {
        if (values[key] === null || values[key] === undefined) return null;
        const low = floors[place];
        floors[place] += values[key];
        return { x: this.x(time), y: y(floors[place]), low: y(low) };
      });
      return runs(bands).filter((run) => run.length > 1).map((run) => {
        const back = [...run].reverse().map(({ x, low }) => ({ x, y: low }));
        return drawing('path', { class: `band ${tone}`, d: `M${road(run)}L${road(back)}Z` });
      });
    });
  }
}
