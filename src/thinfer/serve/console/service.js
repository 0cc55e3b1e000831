// The service's routes. Keys live in this module's memory and go into a header, nowhere else.

const keys = { serve: '', admin: '' };

export const hasKey = (role) => keys[role] !== '';

export function setKey(role, key) {
  keys[role] = key.trim();
}

export class Refusal extends Error {
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

// Addresses are relative to the page, so that it works behind a proxy with a prefix.
async function send(method, path, { body, role, headers = {}, signal } = {}) {
  const options = { method, headers: { ...headers }, signal, cache: 'no-store', credentials: 'omit', redirect: 'error' };
  if (role && keys[role]) options.headers.authorization = `Bearer ${keys[role]}`;
  if (body !== undefined) {
    options.headers['content-type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  const started = performance.now();
  let reply, text;
  try {
    reply = await fetch(path, options);
    text = await reply.text();
  } catch (error) {
    if (error.name === 'AbortError' || error.name === 'TimeoutError') throw error;
    throw new Refusal(0, 'unreachable', `The request did not get through: ${error.message}`);
  }
  return { reply, text, ms: performance.now() - started };
}

export async function ask(method, path, options) {
  const { reply, text, ms } = await send(method, path, options);
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    throw new Refusal(reply.status, 'not_json', `The answer (status ${reply.status}) is not JSON.`);
  }
  if (!reply.ok) throw new Refusal(reply.status, answer?.error_type ?? '', String(answer?.error ?? `status ${reply.status}`));
  return { answer, headers: reply.headers, ms };
}

export async function scrape(signal) {
  const { reply, text } = await send('GET', 'metrics', { signal });
  if (!reply.ok) throw new Refusal(reply.status, '', `/metrics answers with status ${reply.status}.`);
  return { text, current: reply.headers.get('x-thinfer-version') };
}

// Headers that have their own place on the page.
const KNOWN = new Set(['version', 'truncated', 'tokens', 'tokens-total'].map((name) => `x-thinfer-${name}`));

// What else the service tells of an answer, for example that it is degraded: [[name, value], …]
function remarks(headers) {
  const others = [...headers].filter(([name]) => name.startsWith('x-thinfer-') && !KNOWN.has(name));
  return others.map(([name, value]) => [name.slice('x-thinfer-'.length), value]);
}

// One text, or a text with its pair, to one version (`use`) or to the one that the service chooses.
export async function classify(text, { pair = '', longText = '', use = '', sticky = '', signal } = {}) {
  const headers = {};
  if (use) headers['x-thinfer-use'] = use;
  if (sticky) headers['x-thinfer-key'] = sticky;
  const body = { inputs: pair ? [[text, pair]] : text, details: true };
  if (longText) body.long_text = longText;
  const { answer, headers: told, ms } = await ask('POST', 'predict', { body, role: 'serve', headers, signal });
  const found = pair ? answer[0] : answer;
  return {
    rows: found.predictions,
    isTruncated: found.truncated,
    tokens: found.tokens,
    tokensTotal: found.tokens_total,
    windows: found.windows,
    version: told.get('x-thinfer-version') ?? '',
    remarks: remarks(told),
    ms,
  };
}

const admin = async (method, path, body) => (await ask(method, path, { body, role: 'admin' })).answer;

export const readInfo = async () => (await ask('GET', 'info')).answer;
export const readVersions = () => admin('GET', 'admin/versions');
export const loadBundle = (bundle, activate) => admin('POST', 'admin/versions', { bundle, activate });
export const rollBack = () => admin('POST', 'admin/rollback', {});
export const setSplit = (versions, shadow) => admin('POST', 'admin/split', { versions, shadow });
export const unload = (name) => admin('DELETE', `admin/versions/${encodeURIComponent(name)}`);
