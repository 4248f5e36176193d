import { Event } from '@jupyterlab/services';
import { ISignal, Signal } from '@lumino/signaling';
import { call, Cluster, Module, Run, StudioError } from './api';

const EVENT_SCHEMA = 'https://mlstudio-lab.readthedocs.io/events/changed/v1';
const THROTTLE_MS = 250;
const PULSE_MS = 5000;
const PULSES_WHEN_DOWN = 6;
const PAGE = 50;
const MOST_RUNS = 500;
const MOST_MODULES = 200;

type List = 'runs' | 'modules' | 'cluster';
const ALL: List[] = ['runs', 'modules', 'cluster'];

interface IChanged {
  kind: string;
}

/** Rows of a new answer, with the old object wherever nothing about it changed, so that its row need not be drawn again. */
function kept<T>(before: T[], now: T[], key: (row: T) => string): T[] {
  const old = new Map(before.map(row => [key(row), row]));
  const rows = now.map(row => {
    const was = old.get(key(row));
    return was && JSON.stringify(was) === JSON.stringify(row) ? was : row;
  });
  const same =
    rows.length === before.length && rows.every((row, i) => row === before[i]);
  return same ? before : rows;
}

/**
 * What the panel shows, kept current from the event stream: events say what changed, the lists are fetched again over REST,
 * at most four times a second and only while somebody looks.
 */
export class StudioState {
  runs: Run[] = [];
  modules: Module[] = [];
  cluster: Cluster | null = null;
  error: StudioError | null = null;
  /** Whether there was an answer, good or bad, since the panel was first shown. */
  asked = false;
  /** Whether the studio is being started on the person's wish. */
  starting = false;
  /** Whether older runs than those shown exist. */
  hasOlder = false;
  /** Whether more modules fit the filter than are shown. */
  hasMoreModules = false;

  constructor(private readonly events: Event.IManager) {
    this.events.stream.connect(this.onEvent, this);
    document.addEventListener('visibilitychange', this.onTab);
  }

  /** Emitted after anything shown changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Whether the panel is open; it is looked at when its browser tab is in front too. */
  set visible(visible: boolean) {
    this._shown = visible;
    this.look();
  }

  /** What a module's name must contain to be listed. */
  get filter(): string {
    return this._filter;
  }

  set filter(text: string) {
    this._filter = text;
    this._changed.emit();
    this.refresh('modules');
  }

  /** Shows a page of older runs too. */
  showOlder(): void {
    this._limit = Math.min(this._limit + PAGE, MOST_RUNS);
    this.refresh('runs');
  }

  /** Starts the studio of this home. */
  async start(): Promise<void> {
    this.starting = true;
    this._changed.emit();
    try {
      await call<unknown>('POST', 'start', {});
      this.error = null;
    } catch (reason) {
      this.error = asError(reason);
    }
    this.starting = false;
    this._changed.emit();
    this.refresh(...ALL);
  }

  /** Fetches the named lists soon; many calls within a quarter of a second are one fetch. */
  refresh(...what: List[]): void {
    what.forEach(name => this._wanted.add(name));
    if (this._timer === null && !this._fetching && this._looking) {
      const wait = Math.max(0, this._last + THROTTLE_MS - Date.now());
      this._timer = window.setTimeout(() => void this.fetch(), wait);
    }
  }

  dispose(): void {
    this.visible = false;
    document.removeEventListener('visibilitychange', this.onTab);
    this.events.stream.disconnect(this.onEvent, this);
    Signal.clearData(this);
  }

  private onTab = (): void => this.look();

  private look(): void {
    const looking = this._shown && !document.hidden;
    if (looking === this._looking) {
      return;
    }
    this._looking = looking;
    if (looking) {
      this.refresh(...ALL);
      // Workers warm and end without an event of their own; a studio that comes back says so, so it is seldom asked for.
      let pulses = 0;
      this._pulse = window.setInterval(() => {
        if (this.error === null || ++pulses % PULSES_WHEN_DOWN === 0) {
          this.refresh('cluster');
        }
      }, PULSE_MS);
    } else if (this._pulse !== null) {
      window.clearInterval(this._pulse);
      this._pulse = null;
    }
  }

  private onEvent(_: unknown, event: Event.Emission): void {
    if (event.schema_id !== EVENT_SCHEMA || !this._looking) {
      return;
    }
    const kind = (event as unknown as IChanged).kind;
    if (kind === 'run' || kind === 'studio') {
      // A run may have made a version, and occupies a worker.
      this.refresh(...ALL);
    } else if (kind === 'module' || kind === 'tag') {
      this.refresh('modules');
    }
  }

  private async fetch(): Promise<void> {
    this._timer = null;
    this._fetching = true;
    this._last = Date.now();
    const wanted = new Set(this._wanted);
    this._wanted.clear();
    const before = [this.runs, this.modules, this.error, this.asked];
    const cluster = JSON.stringify(this.cluster);
    const filter = this._filter;
    try {
      const [runs, modules, found] = await Promise.all([
        wanted.has('runs')
          ? call<{ runs: Run[]; next_before: number | null }>(
              'GET',
              `runs?limit=${this._limit}`
            )
          : null,
        wanted.has('modules')
          ? call<{ modules: Module[] }>(
              'GET',
              `modules?limit=${MOST_MODULES}&q=${encodeURIComponent(filter)}`
            )
          : null,
        wanted.has('cluster') ? call<Cluster>('GET', 'cluster') : null
      ]);
      if (runs) {
        this.runs = kept(this.runs, runs.runs, run => run.id);
        this.hasOlder = runs.next_before !== null && this._limit < MOST_RUNS;
      }
      if (modules) {
        this.modules = kept(this.modules, modules.modules, row => row.name);
        this.hasMoreModules = modules.modules.length === MOST_MODULES;
      }
      this.cluster = found ?? this.cluster;
      if (this.error !== null) {
        this.error = null;
        ALL.forEach(name => this._wanted.add(name));
      }
    } catch (reason) {
      const error = asError(reason);
      if (error.message !== this.error?.message) {
        this.error = error;
      }
      this.cluster = null;
    }
    this.asked = true;
    this._fetching = false;
    const now = [this.runs, this.modules, this.error, this.asked];
    if (
      now.some((part, i) => part !== before[i]) ||
      JSON.stringify(this.cluster) !== cluster
    ) {
      this._changed.emit();
    }
    if (this._wanted.size) {
      this.refresh();
    }
  }

  private _changed = new Signal<this, void>(this);
  private _wanted = new Set<List>();
  private _timer: number | null = null;
  private _pulse: number | null = null;
  private _fetching = false;
  private _shown = false;
  private _looking = false;
  private _last = 0;
  private _limit = PAGE;
  private _filter = '';
}

function asError(reason: unknown): StudioError {
  return reason instanceof StudioError
    ? reason
    : new StudioError('unavailable', String(reason), '', '');
}
