// One text, answered by the version that the service chooses, or by each version side by side.

import { element, find, lane, say, showMilliseconds, showPercent, showScore } from './elements.js';
import { classify, hasKey, setKey } from './service.js';

const MOST_SHOWN = 12;

export class Try {
  constructor() {
    this.names = [];
    this.isMultiLabel = false;
    this.asking = null;
    find('try-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.answer(['']);
    });
    find('compare').addEventListener('click', () => this.answer(this.names));
    find('text').addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.answer(event.shiftKey && this.names.length > 1 ? this.names : ['']);
    });
    find('serve-key-form').addEventListener('submit', (event) => {
      event.preventDefault();
      setKey('serve', find('serve-key').value);
      find('serve-key').value = '';
      say(find('serve-key-message'), hasKey('serve') ? 'The key is in use until this page is left.' : 'No key is in use.');
    });
  }

  setInfo(info) {
    this.isMultiLabel = info.problem_type === 'multi_label_classification';
  }

  setVersions(names) {
    this.names = names;
    find('compare').hidden = names.length < 2;
  }

  async answer(uses) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const options = { pair: find('pair').value, longText: find('long-text').value, sticky: find('sticky').value.trim(), signal: asking.signal };
    const text = find('text').value;
    const columns = [];
    find('answer').setAttribute('aria-busy', 'true');
    say(find('try-message'), '');
    try {
      // One after another, so that no version waits for the others' engine time.
      for (const use of uses) columns.push(await this.ask(text, { ...options, use }));
      this.show(columns);
    } catch (error) {
      if (error.name === 'AbortError') return;
      find('answer').replaceChildren();
      say(find('try-message'), error.message, 'bad');
      if (error.status === 401) this.askForKey();
    } finally {
      if (this.asking === asking) find('answer').removeAttribute('aria-busy');
    }
  }

  // Beside others a version that cannot answer says so in its own column.
  async ask(text, options) {
    try {
      return { use: options.use, ...(await classify(text, options)) };
    } catch (error) {
      if (!options.use || error.status === 401 || error.name === 'AbortError') throw error;
      return { use: options.use, version: options.use, refused: error.message };
    }
  }

  askForKey() {
    find('more').open = true;
    find('serve-key').focus();
  }

  show(columns) {
    const first = columns.find((column) => column.rows);
    const order = first ? first.rows.map(({ label }) => label) : [];
    const isBeside = columns.length > 1;
    const cards = columns.map((column) => (column.rows ? this.card(column, { first, order, isBeside }) : this.refusal(column)));
    find('answer').replaceChildren(...cards);
    find('answer').className = isBeside ? 'answer beside' : 'answer';
    if (isBeside) say(find('try-message'), this.verdict(columns), '');
  }

  verdict(columns) {
    const answered = columns.filter(({ rows }) => rows);
    const labels = new Set(answered.map(({ rows }) => rows[0].label));
    if (answered.length < 2) return '';
    if (labels.size > 1) return 'The versions do not agree.';
    return `${answered.length === 2 ? 'Both' : `All ${answered.length}`} versions give the same label.`;
  }

  refusal(column) {
    return element('article', { class: 'card result' }, element('p', { class: 'facts' }, element('code', {}, column.version)),
      element('p', { class: 'message bad' }, column.refused));
  }

  card(column, { first, order, isBeside }) {
    const best = column.rows[0];
    const scores = new Map(column.rows.map(({ label, score }) => [label, score]));
    const other = isBeside && column !== first ? new Map(first.rows.map(({ label, score }) => [label, score])) : null;
    const labels = [...order.filter((label) => scores.has(label)), ...[...scores.keys()].filter((label) => !order.includes(label))];
    const isOdd = isBeside && best.label !== first.rows[0].label;
    return element('article', { class: `card result ${isOdd ? 'odd' : ''}` },
      element('p', { class: 'big', dir: 'auto' }, best.label, ' ', element('span', {}, showPercent(best.score))),
      this.isMultiLabel ? element('p', { class: 'note' }, 'Each label has a probability of its own; several may apply.') : null,
      this.bars(labels, { scores, other, best }),
      this.facts(column, isBeside));
  }

  bars(labels, { scores, other, best }) {
    const rows = labels.map((label) => element('li', { class: label === best.label ? 'best' : '' },
      element('span', { class: 'name', dir: 'auto' }, label), lane(scores.get(label), 'score'),
      element('span', { class: 'value' }, showScore(scores.get(label)), other?.has(label) ? this.change(scores.get(label) - other.get(label)) : null)));
    const list = element('ol', { class: other ? 'bars changes' : 'bars' }, ...rows.slice(0, MOST_SHOWN));
    if (rows.length <= MOST_SHOWN) return list;
    const more = element('button', { type: 'button', class: 'quiet', click: () => {
      list.append(...rows.slice(MOST_SHOWN));
      more.remove();
    } }, `Show all ${rows.length} labels`);
    return element('div', {}, list, more);
  }

  change(difference) {
    const isNone = Math.abs(difference) < 0.00005;
    return element('small', {}, isNone ? '±0' : `${difference > 0 ? '+' : '−'}${showScore(Math.abs(difference))}`);
  }

  cut({ tokens, tokensTotal }) {
    return `cut, ${(tokensTotal - tokens).toLocaleString('en')} of ${tokensTotal.toLocaleString('en')} tokens not read`;
  }

  facts(column, isBeside) {
    const isOther = column.use && column.use !== column.version;
    return element('p', { class: 'facts' },
      element('code', { title: 'the version that answered' }, column.version),
      element('span', { title: 'from this page to the service and back' }, showMilliseconds(column.ms)),
      element('span', {}, `${column.tokens.toLocaleString('en')} tokens`),
      column.windows > 1 ? element('span', {}, `in ${column.windows} windows`) : null,
      column.isTruncated ? element('span', { class: 'badge unproven' }, this.cut(column)) : null,
      ...column.remarks.map(([name, value]) => element('span', { class: `badge ${name === 'degraded' ? 'unproven' : ''}` }, `${name} ${value}`)),
      isOther && isBeside ? element('span', { class: 'badge broken' }, `not ${column.use}, which was asked`) : null);
  }
}
