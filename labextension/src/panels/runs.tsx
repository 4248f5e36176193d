import { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import * as React from 'react';
import { call, Run } from '../api';
import { Commands } from '../commands';

const SYMBOL: Record<string, string> = {
  queued: '○',
  running: '◐',
  succeeded: '●',
  failed: '✕',
  cancelled: '–'
};

interface IRunProps {
  run: Run;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/** What a person typed, as the JSON value it spells, else as text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A form prefilled from the run; only what was changed is sent, everything else is carried over. */
function CloneForm(props: IRunProps & { close: () => void }): JSX.Element {
  const { run, commands, trans, close } = props;
  const [before, setBefore] = React.useState<Record<string, unknown> | null>(
    null
  );
  const [values, setValues] = React.useState<Record<string, string>>({});
  const [error, setError] = React.useState('');
  const [busy, setBusy] = React.useState(false);
  React.useEffect(() => {
    call<Run>('GET', `runs/${run.id}`)
      .then(whole => {
        const parameters = (whole.request?.parameters ?? {}) as Record<
          string,
          unknown
        >;
        setBefore(parameters);
        setValues(
          Object.fromEntries(
            Object.entries(parameters).map(([name, value]) => [
              name,
              typeof value === 'string' ? value : JSON.stringify(value)
            ])
          )
        );
      })
      .catch(reason => setError(String(reason.message ?? reason)));
  }, [run.id]);
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    if (before === null) {
      return;
    }
    setBusy(true);
    setError('');
    const set: Record<string, unknown> = {};
    for (const [name, text] of Object.entries(values)) {
      const value = typeof before[name] === 'string' ? text : parsed(text);
      if (JSON.stringify(value) !== JSON.stringify(before[name])) {
        set[name] = value;
      }
    }
    try {
      await commands.execute(Commands.clone, { id: run.id, set } as never);
      close();
    } catch (reason) {
      setError(reason instanceof Error ? reason.message : String(reason));
      setBusy(false);
    }
  };
  return (
    <form className="mls-form" onSubmit={submit}>
      {before !== null && Object.keys(values).length === 0 && (
        <p className="mls-quiet">
          {trans.__('No parameters to change; its inputs are carried over.')}
        </p>
      )}
      {Object.keys(values).map(name => (
        <label key={name}>
          <span>{name}</span>
          <input
            className="jp-mod-styled"
            name={name}
            value={values[name]}
            onChange={event =>
              setValues({ ...values, [name]: event.target.value })
            }
          />
        </label>
      ))}
      {error && (
        <p className="mls-error" role="alert">
          {error}
        </p>
      )}
      <div className="mls-buttons">
        <button
          className="jp-mod-styled jp-mod-accept"
          disabled={busy || before === null}
        >
          {trans.__('Run')}
        </button>
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={close}
        >
          {trans.__('Close')}
        </button>
      </div>
    </form>
  );
}

/** One run: what, in which state, why it ran or did not, and what can be done with it. */
const RunRow = React.memo(function RunRow(props: IRunProps): JSX.Element {
  const { run, commands, trans } = props;
  const [cloning, setCloning] = React.useState(false);
  const [error, setError] = React.useState('');
  const active = run.state === 'queued' || run.state === 'running';
  const failure = run.failure as { type?: string; message?: string } | null;
  const cancel = () =>
    commands
      .execute(Commands.cancel, { id: run.id })
      .catch(reason => setError(String(reason)));
  const seconds = run.usage?.wall_s as number | undefined;
  return (
    <li
      className={`mls-run mls-state-${run.state}`}
      data-run={run.number}
      data-state={run.state}
    >
      <div className="mls-row">
        <span
          className="mls-symbol"
          title={run.state}
          aria-label={run.state}
          role="img"
        >
          {SYMBOL[run.state] ?? '?'}
        </span>
        <span className="mls-quiet">{run.number}</span>
        <span
          className="mls-name"
          title={`${run.module}@v${run.version_number}`}
        >
          {run.module}
        </span>
        <span className="mls-chip">v{run.version_number}</span>
        {run.reused ? (
          <span className="mls-chip mls-chip-reused">{trans.__('reused')}</span>
        ) : (
          <span className="mls-quiet">
            {seconds !== undefined && !active
              ? `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`
              : run.state}
          </span>
        )}
      </div>
      <div className="mls-why" title={run.why ?? ''}>
        {run.why}
      </div>
      {failure && (
        <div className="mls-error" role="alert">
          {failure.type}: {failure.message}
        </div>
      )}
      {error && (
        <div className="mls-error" role="alert">
          {error}
        </div>
      )}
      {(run.warnings?.length ?? 0) > 0 && (
        <div className="mls-warning">
          {trans._n(
            '%1 labelled column arrives',
            '%1 labelled columns arrive',
            run.warnings!.length
          )}
        </div>
      )}
      <div className="mls-buttons">
        <button
          className="jp-mod-styled jp-mod-minimal"
          aria-expanded={cloning}
          aria-label={trans.__('Clone and run: run %1', String(run.number))}
          onClick={() => setCloning(!cloning)}
        >
          {trans.__('Clone and run')}
        </button>
        {active && (
          <button
            className="jp-mod-styled jp-mod-minimal"
            aria-label={trans.__('Cancel run %1', String(run.number))}
            onClick={cancel}
          >
            {trans.__('Cancel')}
          </button>
        )}
      </div>
      {cloning && <CloneForm {...props} close={() => setCloning(false)} />}
    </li>
  );
});

/** The newest runs, live. */
export function Runs(props: {
  runs: Run[];
  commands: CommandRegistry;
  trans: TranslationBundle;
}): JSX.Element {
  const { runs, commands, trans } = props;
  if (!runs.length) {
    return (
      <p className="mls-empty">
        {trans.__('None yet. Runs appear here while they happen.')}
      </p>
    );
  }
  return (
    <ul className="mls-list">
      {runs.map(run => (
        <RunRow key={run.id} run={run} commands={commands} trans={trans} />
      ))}
    </ul>
  );
}
