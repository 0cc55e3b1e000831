// Starts the page: the facts of the service, then its three parts.

import { find, say } from './elements.js';
import { Live } from './live.js';
import { hasKey, readInfo } from './service.js';
import { Try } from './try.js';
import { Versions } from './versions.js';

const VERDICTS = {
  holds: 'Its quality floor holds.',
  unproven: 'It is above its quality floor, not yet proven.',
  broken: 'Its quality floor is broken.',
};

const count = (number, noun) => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;

function describe(info) {
  const engine = `${info.engine} in ${String(info.precision).toUpperCase()} on ${count(info.threads, 'thread')}`;
  const size = `${count(info.labels.length, 'label')}, up to ${count(info.max_length, 'token')} a text`;
  return `${size}; ${engine}. ${VERDICTS[info.quality?.verdict] ?? ''}`;
}

class Console {
  constructor() {
    this.current = undefined; // nothing has been asked yet
    this.loaded = null; // names that the admin routes tell; without the key those that are counted
    this.trial = new Try();
    this.versions = new Versions((names, current) => {
      this.loaded = names;
      this.see(current);
    });
    this.live = new Live((names, current) => {
      this.counted = names;
      this.see(current);
    });
    for (const [button, value] of [['confirm-yes', 'yes'], ['confirm-no', '']]) {
      find(button).addEventListener('click', () => find('confirm').close(value));
    }
  }

  start() {
    this.live.run();
  }

  // What the service was given no key for, it does not offer.
  offer(keys) {
    find('versions').hidden = !keys?.admin;
    if (keys?.serve && !hasKey('serve')) find('more').open = true;
  }

  // Other versions may be there now, or another one may answer.
  async see(current = this.current) {
    this.trial.setVersions(this.loaded ?? this.counted ?? []);
    // null where the service does not name it: then once is enough.
    if (current === this.current) return;
    this.current = current;
    try {
      const info = await readInfo();
      this.trial.setInfo(info);
      find('version').textContent = info.version;
      find('name').textContent = info.name;
      find('summary').textContent = describe(info);
      find('maker').textContent = `thinfer ${info.thinfer}`;
      this.offer(info.keys);
    } catch (error) {
      this.current = undefined; // asked again with the next reading
      say(find('live-message'), error.message, 'bad');
    }
  }
}

new Console().start();
