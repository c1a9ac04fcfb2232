// What the page knows: the plant as it is built, and the values of the last frame.

const NONE = 65535;
const VOLT_STEPS = 10000, DEGREE_STEPS = 100, DEGREE_ZERO = -100, AGE_STEPS = 10;


export class Plant extends EventTarget {
  constructor(document) {
    super();
    Object.assign(this, {
      epoch: document.epoch, name: document.name, version: document.version, period_s: document.period_s,
      clusters: document.clusters, stacks: document.stacks, qualities: document.qualities, labels: document.labels,
      history: document.history, journal: document.journal,
    });
    this.paths = document.values.map(([path]) => path);
    this.units = document.values.map(([, unit]) => unit);
    this.index = new Map(this.paths.map((path, i) => [path, i]));
    this.wordPaths = document.words;
    this.wordIndex = new Map(document.words.map(([path], i) => [path, i]));
    this.values = new Float64Array(this.paths.length).fill(NaN);
    this.quality = new Uint8Array(this.paths.length).fill(1);
    this.words = new Array(this.wordPaths.length).fill(0n);
    this.wordQuality = new Uint8Array(this.wordPaths.length).fill(1);
    let cells = 0, sensors = 0, packs = 0;
    for (const cluster of this.clusters) {
      cluster.packs = cluster.cells.map((count, p) => {
        const pack = { cells: count, cell0: cells, sensors: cluster.sensors[p], sensor0: sensors };
        cells += count;
        sensors += cluster.sensors[p];
        packs += 1;
        return pack;
      });
    }
    this.nCells = cells;
    this.nSensors = sensors;
    this.nPacks = packs;
    const n = cells + sensors;
    this.raw = new Uint16Array(n).fill(NONE);
    this.age = new Uint16Array(n).fill(NONE);
    this.rawQuality = new Uint8Array(n).fill(1);
    this.alarms = new Map();
    this.devices = [];
    this.scan = null;
    this.server = null;
    this.number = 0;
  }

  /** {value, unit, quality} of a number by path; cells and sensors too. */
  get(path) {
    const i = this.index.get(path);
    if (i !== undefined) return { value: this.values[i], unit: this.units[i], quality: this.qualities[this.quality[i]] };
    const k = this.elementAt(path);
    return k === null ? null : this.element(k);
  }

  /** A cell (k < nCells) or a sensor. */
  element(k) {
    const raw = this.raw[k], cell = k < this.nCells;
    const value = raw === NONE ? NaN : cell ? raw / VOLT_STEPS : raw / DEGREE_STEPS + DEGREE_ZERO;
    const age = this.age[k] === NONE ? NaN : this.age[k] / AGE_STEPS;
    return { value, unit: cell ? "V" : "°C", quality: this.qualities[this.rawQuality[k]], age };
  }

  elementAt(path) {
    const found = /^(.*)\.Pack(\d+)\.(Cell|Sensor)(\d+)\.(Voltage|Temperature)$/.exec(path);
    if (!found) return null;
    const cluster = this.clusters.find((c) => c.path === found[1]);
    const pack = cluster?.packs[found[2] - 1];
    const at = found[4] - 1;
    if (!pack || at < 0) return null;
    if (found[3] === "Cell") return at < pack.cells ? pack.cell0 + at : null;
    return at < pack.sensors ? this.nCells + pack.sensor0 + at : null;
  }

  /** Set bits of a word in words, or null where the word says nothing. */
  bits(path) {
    const i = this.wordIndex.get(path);
    if (i === undefined || !this.qualities[this.wordQuality[i]].usable) return null;
    const labels = this.labels[this.wordPaths[i][1]] ?? {};
    const out = [];
    for (let bit = 0, rest = this.words[i]; rest; bit += 1, rest >>= 1n) {
      if (rest & 1n) out.push(labels[bit] ?? `bit ${bit}`);
    }
    return out;
  }

  /** Take over one frame; false: it does not follow the last one. */
  async take(frame) {
    if (frame.base !== 0 && frame.base !== this.number) return false;
    const planes = frame.cells === undefined ? null : await inflate(frame.cells);
    if (frame.base === 0) this.alarms.clear();
    if (planes) this.takeCells(planes, frame.base === 0);
    if (frame.values) {
      const [at, values, quality] = frame.values;
      at.forEach((i, k) => {
        this.values[i] = values[k] ?? NaN;
        this.quality[i] = quality[k];
      });
    }
    if (frame.words) {
      const [at, bits, quality] = frame.words;
      at.forEach((i, k) => {
        this.words[i] = BigInt(`0x${bits[k]}`);
        this.wordQuality[i] = quality[k];
      });
    }
    const fresh = [];
    for (const key of frame.gone ?? []) this.alarms.delete(key);
    for (const [key, row] of Object.entries(frame.alarms ?? {})) {
      if (row.active && !row.acked && frame.base !== 0 && !this.alarms.get(key)?.active) fresh.push(row);
      this.alarms.set(key, row);
    }
    if (frame.scan) this.scan = frame.scan;
    if (frame.server) this.server = frame.server;
    if (frame.devices) this.devices = frame.devices;
    this.number = frame.n;
    this.dispatchEvent(new CustomEvent("frame", { detail: { scan: Boolean(frame.scan), alarms: Boolean(frame.alarms), fresh } }));
    return true;
  }

  takeCells(planes, whole) {
    const n = this.raw.length;
    if (whole) {
      this.raw.fill(0);
      this.age.fill(0);
      this.rawQuality.fill(0);
    }
    for (let k = 0; k < n; k += 1) {
      this.raw[k] += planes[k] | (planes[n + k] << 8);
      this.age[k] += planes[2 * n + k] | (planes[3 * n + k] << 8);
      this.rawQuality[k] += planes[4 * n + k];
    }
  }
}

async function inflate(base64) {
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
