import { Event } from '@jupyterlab/services';
import { ISignal, Signal } from '@lumino/signaling';
import { call, Cluster, Module, Run, StudioError } from './api';

const EVENT_SCHEMA = 'https://mlstudio-lab.readthedocs.io/events/changed/v1';
const THROTTLE_MS = 250;
const NEWEST_RUNS = 100;

interface IChanged {
  kind: string;
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
  loaded = false;

  constructor(private readonly events: Event.IManager) {
    this.events.stream.connect(this.onEvent, this);
  }

  /** Emitted after any of the lists changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Whether the panel is on screen; becoming visible refreshes everything. */
  set visible(visible: boolean) {
    this._visible = visible;
    if (visible) {
      this.refresh('runs', 'modules', 'cluster');
      if (this._pulse === null) {
        // The light must notice a studio that went away without a last word.
        this._pulse = window.setInterval(() => this.refresh('cluster'), 5000);
      }
    } else if (this._pulse !== null) {
      window.clearInterval(this._pulse);
      this._pulse = null;
    }
  }

  /** Fetches the named lists soon; many calls within a quarter of a second are one fetch. */
  refresh(...what: ('runs' | 'modules' | 'cluster')[]): void {
    what.forEach(name => this._wanted.add(name));
    if (this._timer === null && !this._fetching) {
      const wait = Math.max(0, this._last + THROTTLE_MS - Date.now());
      this._timer = window.setTimeout(() => void this.fetch(), wait);
    }
  }

  dispose(): void {
    this.visible = false;
    this.events.stream.disconnect(this.onEvent, this);
    Signal.clearData(this);
  }

  private onEvent(_: unknown, event: Event.Emission): void {
    if (event.schema_id !== EVENT_SCHEMA || !this._visible) {
      return;
    }
    const kind = (event as unknown as IChanged).kind;
    if (kind === 'run') {
      this.refresh('runs', 'cluster');
    } else if (kind === 'cluster') {
      this.refresh('cluster');
    } else {
      this.refresh('modules');
    }
  }

  private async fetch(): Promise<void> {
    this._timer = null;
    this._fetching = true;
    this._last = Date.now();
    const wanted = new Set(this._wanted);
    this._wanted.clear();
    try {
      const [runs, modules, cluster] = await Promise.all([
        wanted.has('runs')
          ? call<{ runs: Run[] }>('GET', `runs?limit=${NEWEST_RUNS}`)
          : null,
        wanted.has('modules')
          ? call<{ modules: Module[] }>('GET', 'modules')
          : null,
        wanted.has('cluster') ? call<Cluster>('GET', 'cluster') : null
      ]);
      this.runs = runs?.runs ?? this.runs;
      this.modules = modules?.modules ?? this.modules;
      this.cluster = cluster ?? this.cluster;
      const recovered = this.error !== null;
      this.error = null;
      this.loaded = true;
      if (recovered) {
        ['runs', 'modules'].forEach(name => this._wanted.add(name));
      }
    } catch (reason) {
      this.error =
        reason instanceof StudioError
          ? reason
          : new StudioError('unavailable', String(reason), '', '');
      this.cluster = null;
    }
    this._fetching = false;
    this._changed.emit();
    if (this._wanted.size) {
      this.refresh();
    }
  }

  private _changed = new Signal<this, void>(this);
  private _wanted = new Set<string>();
  private _timer: number | null = null;
  private _pulse: number | null = null;
  private _fetching = false;
  private _visible = false;
  private _last = 0;
}
