// Versions with the admin key: what is loaded, who gets which share, switch, roll back, events.

import { element, find, lane, say, showPercent } from './elements.js';
import { hasKey, loadBundle, readVersions, rollBack, setKey, setSplit, unload } from './service.js';

const EVERY_MS = 2000;
const MOST_EVENTS = 50;
const TONES = {
  loaded: 'plain', unloaded: 'plain', split: 'plain', switched: 'holds', rolled_back: 'unproven',
  auto_rollback: 'broken', arm_stopped: 'broken', shadow_stopped: 'broken', refused: 'broken',
};
const NO_ROUND_ERROR = 0.05; // of the sum of all shares, in per cent

const words = (kind) => String(kind).replaceAll('_', ' ');

export class Versions {
  // `onVersions` hears the names of the loaded versions, and the one that answers.
  constructor(onVersions) {
    this.onVersions = onVersions;
    this.state = null;
    this.rows = [];
    this.written = '';
    this.eventsWritten = '';
    this.draft = null; // shares that are typed in and not applied yet: { shares: Map, shadow }
    find('admin-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.unlock(find('admin-key').value);
    });
    find('lock').addEventListener('click', () => this.lock(''));
    find('roll-back').addEventListener('click', () => this.rollBack());
    find('load-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.load(find('bundle').value.trim(), find('activate').checked);
    });
    find('split-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.applySplit();
    });
    find('split-form').addEventListener('input', () => this.readDraft());
    find('split-undo').addEventListener('click', () => {
      this.dropDraft();
      this.write();
    });
    setInterval(() => this.refresh(), EVERY_MS);
  }

  async unlock(key) {
    setKey('admin', key);
    find('admin-key').value = '';
    if (!hasKey('admin')) {
      say(find('admin-message'), 'Type the admin key first.', 'bad');
      return;
    }
    try {
      this.take(await readVersions());
      find('admin-form').hidden = true;
      find('admin').hidden = false;
      find('lock').hidden = false;
      say(find('admin-message'), '');
      find('lock').focus();
    } catch (error) {
      this.lock(error.status === 401 ? 'The service does not accept this key.' : error.message);
    }
  }

  lock(reason) {
    setKey('admin', '');
    this.state = null;
    this.dropDraft();
    find('admin').hidden = true;
    find('lock').hidden = true;
    find('admin-form').hidden = false;
    say(find('admin-message'), reason, reason ? 'bad' : '');
    find('admin-key').focus();
    this.onVersions(null, undefined);
  }

  async refresh() {
    if (this.state === null || this.isBusy || document.hidden) return;
    try {
      const state = await readVersions();
      if (this.state !== null && !this.isBusy) this.take(state);
    } catch (error) {
      if (error.status === 401) this.lock('The service no longer accepts this key.');
      else if (error.status !== 0) say(find('admin-message'), error.message, 'bad');
    }
  }

  take(state) {
    this.state = state;
    this.write();
    this.onVersions(state.versions.map(({ name }) => name), state.current);
  }

  // Runs one action with all controls off; what it gives is said.
  async act(doing, action) {
    this.isBusy = true;
    const focused = document.activeElement?.id;
    find('controls').disabled = true;
    say(find('admin-message'), doing);
    try {
      say(find('admin-message'), await action(), 'good');
      this.dropDraft();
    } catch (error) {
      say(find('admin-message'), error.message, 'bad');
      if (error.status === 401) this.lock('The service no longer accepts this key.');
    } finally {
      find('controls').disabled = false;
      this.isBusy = false;
      await this.refresh();
      if (focused) find(focused)?.focus();
    }
  }

  async load(bundle, activate) {
    if (!bundle) return;
    await this.act('Loading, checking and warming …', async () => {
      const done = await loadBundle(bundle, activate);
      const labels = [...(done.labels_added ?? []).map((label) => `+ ${label}`), ...(done.labels_removed ?? []).map((label) => `− ${label}`)];
      const said = done.changed ? `${done.version} answers now, in place of ${done.previous}` : `${done.version} is loaded`;
      const seconds = Number.isFinite(done.seconds) ? ` (${done.seconds.toFixed(1)} s)` : '';
      return `${said}${seconds}.${labels.length ? ` Labels: ${labels.join(', ')}.` : ''}`;
    });
  }

  async makeCurrent(name, bundle) {
    if (await confirm(`Answer with ${name} in place of ${this.state.current}?`, 'Make current')) {
      await this.load(bundle, true);
    }
  }

  async rollBack() {
    if (!(await confirm(`Roll back from ${this.state.current} to ${this.state.previous}?`, 'Roll back'))) return;
    await this.act('Rolling back …', async () => {
      const done = await rollBack();
      return `Rolled back: ${done.version} answers again.`;
    });
  }

  async unload(name) {
    if (!(await confirm(`Unload ${name}? It can be loaded again from its bundle.`, 'Unload'))) return;
    await this.act('Unloading …', async () => {
      await unload(name);
      return `${name} is unloaded.`;
    });
  }

  readDraft() {
    const shares = new Map(this.state.versions.map(({ name }) => [name, find(`share-${name}`).value]));
    this.draft = { shares, shadow: find('split-shadow').value };
    this.writeSum();
  }

  percents() {
    return this.state.versions.map(({ name }) => [name, Number(find(`share-${name}`).value || 0)]);
  }

  writeSum() {
    const sum = this.percents().reduce((total, [, percent]) => total + percent, 0);
    const isWhole = Math.abs(sum - 100) < NO_ROUND_ERROR;
    find('split-sum').textContent = isWhole ? 'Shares add up to 100 %' : `Shares add up to ${Number(sum.toFixed(1))} %, not 100 %`;
    find('split-sum').className = isWhole ? 'sum' : 'sum bad';
    find('split-apply').disabled = !isWhole || this.draft === null;
    find('split-undo').hidden = this.draft === null;
  }

  async applySplit() {
    const percents = this.percents().filter(([, percent]) => percent > 0);
    const sum = percents.reduce((total, [, percent]) => total + percent, 0);
    const shares = Object.fromEntries(percents.map(([name, percent]) => [name, percent / sum]));
    const shadow = find('split-shadow').value || null;
    await this.act('Splitting …', async () => {
      await setSplit(shares, shadow);
      return 'The split is in force.';
    });
  }

  // Counts change with each reading: the rows stay, so that focus and what is being typed do too.
  write() {
    const { current, previous, versions } = this.state;
    const names = JSON.stringify([current, previous, versions.map(({ name, bundle, is_shadow }) => [name, bundle, is_shadow])]);
    if (names !== this.written) {
      this.written = names;
      const focused = document.activeElement?.id;
      this.rows = versions.map((version) => this.row(version));
      find('version-list').replaceChildren(...this.rows.map(({ node }) => node));
      this.writeShadows();
      find('roll-back').disabled = !previous;
      find('roll-back').textContent = previous ? `Roll back to ${previous}` : 'Nothing to roll back to';
      if (focused) find(focused)?.focus();
    }
    versions.forEach((version, place) => this.rows[place].update(version));
    this.writeEvents();
    this.writeSum();
  }

  dropDraft() {
    this.draft = null;
    this.written = '';
  }

  // One version: its node, and how to bring it up to date.
  row({ name, bundle, is_current: isCurrent, is_shadow: isShadow }) {
    const facts = element('small');
    const portion = element('div', { class: 'portion' });
    const share = element('input', { id: `share-${name}`, type: 'number', min: 0, max: 100, step: 0.1, inputmode: 'decimal' });
    const dropped = element('button', { id: `unload-${name}`, type: 'button', class: 'quiet', 'aria-label': `Unload ${name}`, click: () => this.unload(name) }, 'Unload');
    const node = element('li', { class: `version ${isCurrent ? 'current' : ''}` },
      element('div', { class: 'who' },
        element('p', {}, element('code', {}, name), ' ',
          isCurrent ? element('span', { class: 'badge holds' }, 'current') : null,
          name === this.state.previous ? element('span', { class: 'badge' }, 'previous') : null,
          isShadow ? element('span', { class: 'badge unproven' }, 'shadow') : null),
        facts),
      portion,
      element('label', { class: 'share' }, 'Share, %', element('span', { class: 'unseen' }, ` of ${name}`), share),
      element('div', { class: 'actions' },
        element('button', { id: `current-${name}`, type: 'button', disabled: isCurrent, 'aria-label': `Make ${name} current`, click: () => this.makeCurrent(name, bundle) }, 'Make current'),
        dropped));
    const update = (version) => {
      facts.textContent = this.facts(version).join(' · ');
      portion.replaceChildren(lane(version.share, isCurrent ? 'score' : 'other'), element('small', {}, showPercent(version.share)));
      const typed = this.draft?.shares.get(name) ?? String(Number((version.share * 100).toFixed(2)));
      if (share.value !== typed) share.value = typed;
      dropped.disabled = isCurrent || isShadow || version.share > 0;
    };
    return { node, update };
  }

  facts({ engine, precision, labels, bundle, compared = 0, differed = 0 }) {
    const agreed = compared > 0 ? [`agreed on ${showPercent(1 - differed / compared)} of ${compared.toLocaleString('en')} texts compared`] : [];
    return [engine, precision, `${labels.length} labels`, ...agreed, bundle];
  }

  writeShadows() {
    const chosen = this.draft?.shadow ?? this.state.shadow ?? '';
    const names = this.state.versions.map(({ name }) => name);
    find('split-shadow').replaceChildren(
      ...['', ...names].map((name) => element('option', { value: name, selected: name === chosen }, name || 'none')));
  }

  writeEvents() {
    const told = this.state.events ?? [];
    const isOldestFirst = told.length > 1 && told[0].at <= told.at(-1).at; // several may share one second
    const events = (isOldestFirst ? [...told].reverse() : told).slice(0, MOST_EVENTS);
    const text = JSON.stringify(events);
    if (text === this.eventsWritten) return;
    this.eventsWritten = text;
    find('event-list').replaceChildren(...events.map(({ at, kind, version, reason }) => element('li', {},
      element('time', { datetime: at, title: at }, showTime(at)),
      element('span', { class: `badge ${TONES[kind] ?? ''}` }, words(kind)),
      element('span', { class: 'what' }, element('code', {}, version ?? ''), ' ', reason ?? ''))));
    find('no-events').hidden = events.length > 0;
  }
}

function showTime(at) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return String(at);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? time.toLocaleTimeString() : time.toLocaleString();
}

function confirm(question, verb) {
  const dialog = find('confirm');
  find('confirm-question').textContent = question;
  find('confirm-yes').textContent = verb;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
