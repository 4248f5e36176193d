import { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import * as React from 'react';
import type { Run } from '../api';
import { Commands } from '../commands';
import type { StudioState } from '../state';
import { CloneForm } from './clone';
import { Name } from './name';

interface IRunProps {
  run: Run;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/** Seconds as people say them. */
export function duration(seconds: number): string {
  if (seconds < 1) {
    return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  }
  if (seconds < 60) {
    return `${seconds.toFixed(1)} s`;
  }
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

/** Seconds since a moment, counted on the screen. */
function Since(props: { at: string }): JSX.Element {
  const began = Date.parse(props.at);
  const [now, setNow] = React.useState(Date.now());
  React.useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), 1000);
    return () => window.clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.floor((now - began) / 1000));
  return (
    <>
      {seconds < 60
        ? `${seconds} s`
        : `${Math.floor(seconds / 60)} min ${seconds % 60} s`}
    </>
  );
}

function clock(at: string): string {
  const moment = new Date(at);
  const isToday = moment.toDateString() === new Date().toDateString();
  return isToday
    ? moment.toLocaleTimeString([], {
        hour: '2-digit',
        minute: '2-digit',
        hourCycle: 'h23'
      })
    : moment.toLocaleDateString([], { day: 'numeric', month: 'short' });
}

/** One run: what, in which state, why it ran or did not, and what can be done with it. */
const RunRow = React.memo(function RunRow(props: IRunProps): JSX.Element {
  const { run, commands, trans } = props;
  const [cloning, setCloning] = React.useState(false);
  const [cancelling, setCancelling] = React.useState(false);
  const [error, setError] = React.useState('');
  const button = React.useRef<HTMLButtonElement>(null);
  const active = run.state === 'queued' || run.state === 'running';
  const failure = run.failure as { type?: string; message?: string } | null;
  const warnings = run.warnings?.length ?? 0;
  const seconds = run.usage?.wall_s as number | undefined;
  const at = run.ended_at ?? run.started_at ?? run.created_at;
  const cancel = async () => {
    setCancelling(true);
    setError('');
    try {
      await commands.execute(Commands.cancel, { id: run.id });
    } catch (reason) {
      setError(reason instanceof Error ? reason.message : String(reason));
      setCancelling(false);
    }
  };
  const close = () => {
    setCloning(false);
    button.current?.focus({ preventScroll: true });
  };
  const facts = [
    trans.__('run %1', String(run.number)),
    run.cloned_from ? trans.__('clone of %1', String(run.cloned_from)) : '',
    run.reused ? '' : run.executor,
    at ? clock(at) : ''
  ].filter(Boolean);
  return (
    <li
      className={`mls-run mls-state-${run.state}`}
      data-run={run.number}
      data-state={run.state}
    >
      <div className="mls-row">
        <span
          className={`mls-dot mls-state-${run.state}`}
          title={run.state}
          aria-label={run.state}
          role="img"
        />
        <Name
          name={run.module}
          title={`${run.module} v${run.version_number}`}
        />
        <span className="mls-version">v{run.version_number}</span>
        <span className="mls-outcome">
          {run.state === 'running' ? (
            run.started_at ? (
              <Since at={run.started_at} />
            ) : (
              trans.__('running')
            )
          ) : run.reused ? (
            trans.__('reused')
          ) : run.state === 'succeeded' && seconds !== undefined ? (
            duration(seconds)
          ) : (
            run.state
          )}
        </span>
      </div>
      {failure && (
        <div
          className="mls-error"
          title={`${failure.type}: ${failure.message}`}
        >
          <b>{failure.type?.split('.').pop()}</b>{' '}
          {failure.message?.trim().split(/\n\s*\n/)[0]}
        </div>
      )}
      {run.why && !failure && (
        <div className="mls-why" title={run.why}>
          {active ? run.why.replace(/^ran: /, 'runs: ') : run.why}
        </div>
      )}
      {warnings > 0 && (
        <div
          className="mls-warning"
          title={run.warnings!.map(warning => warning.text).join('\n')}
        >
          {trans._n(
            '%1 labelled column arrives here',
            '%1 labelled columns arrive here',
            warnings
          )}
        </div>
      )}
      {error && (
        <div className="mls-error" role="alert">
          {error}
        </div>
      )}
      <div className="mls-row mls-foot">
        <span
          className="mls-facts"
          title={at ? new Date(at).toLocaleString() : ''}
        >
          {facts.map(fact => (
            <span key={fact}>{fact}</span>
          ))}
        </span>
        {active && (
          <button
            className="mls-button"
            disabled={cancelling}
            aria-label={trans.__('Cancel run %1', String(run.number))}
            onClick={() => void cancel()}
          >
            {cancelling ? trans.__('Cancelling…') : trans.__('Cancel')}
          </button>
        )}
        <button
          className="mls-button"
          ref={button}
          aria-expanded={cloning}
          aria-label={trans.__('Clone and run: run %1', String(run.number))}
          onClick={() => (cloning ? close() : setCloning(true))}
        >
          {trans.__('Clone and run')}
        </button>
      </div>
      {cloning && (
        <CloneForm run={run} commands={commands} trans={trans} close={close} />
      )}
    </li>
  );
});

/** The newest runs, live. */
export function Runs(props: {
  state: StudioState;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): JSX.Element {
  const { state, commands, trans } = props;
  const { runs } = state;
  return (
    <div className={state.error ? 'mls-stale' : ''}>
      {runs.length > 0 ? (
        <ul className="mls-list">
          {runs.map(run => (
            <RunRow key={run.id} run={run} commands={commands} trans={trans} />
          ))}
        </ul>
      ) : (
        state.asked && (
          <p className="mls-empty">
            {trans.__('Runs appear here while they happen.')}
          </p>
        )
      )}
      {state.hasOlder && (
        <div className="mls-older">
          <button className="mls-button" onClick={() => state.showOlder()}>
            {trans.__('Show older runs')}
          </button>
        </div>
      )}
    </div>
  );
}
