import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Module } from '../api';
import type { StudioState } from '../state';
import { Name } from './name';

const WORTH_FILTERING = 8;

/** One module: name, newest version, kind, shared tags where they stand, and how its last run ended. */
const ModuleRow = React.memo(function ModuleRow(props: {
  row: Module;
  trans: TranslationBundle;
}): JSX.Element {
  const { row, trans } = props;
  const last = row.last_run as { number: number; state: string } | null;
  const lastWords = last
    ? trans.__('last run: %1, %2', String(last.number), last.state)
    : trans.__('never run');
  return (
    <li
      className="mls-module"
      data-module={row.name}
      title={`${row.name} · ${lastWords}`}
    >
      <span
        className={`mls-dot mls-state-${last?.state ?? 'none'}`}
        role="img"
        aria-label={lastWords}
      />
      <Name name={row.name} />
      {Object.entries(row.tags ?? {}).map(([tag, number]) => (
        <span className="mls-tag" key={tag}>
          {number === row.latest_number ? tag : `${tag} v${number}`}
        </span>
      ))}
      <span className="mls-quiet">{row.kind}</span>
      <span className="mls-version">v{row.latest_number}</span>
    </li>
  );
});

/** The modules of this home in the order of their names, with a filter once there are many. */
export function Modules(props: {
  state: StudioState;
  trans: TranslationBundle;
}): JSX.Element {
  const { state, trans } = props;
  const { modules, filter } = state;
  const isFiltered = filter !== '';
  return (
    <div className={state.error ? 'mls-stale' : ''}>
      {(isFiltered || modules.length > WORTH_FILTERING) && (
        <input
          className="mls-input mls-filter"
          type="search"
          placeholder={trans.__('Filter modules')}
          aria-label={trans.__('Filter modules')}
          value={filter}
          onChange={event => (state.filter = event.target.value)}
        />
      )}
      {modules.length > 0 ? (
        <ul className="mls-list">
          {modules.map(row => (
            <ModuleRow key={row.name} row={row} trans={trans} />
          ))}
        </ul>
      ) : (
        state.asked && (
          <p className="mls-empty">
            {isFiltered ? (
              trans.__('No module has "%1" in its name.', filter)
            ) : (
              <>
                {trans.__('A cell becomes a module with this line on top:')}
                <code>%%module team/name</code>
              </>
            )}
          </p>
        )
      )}
      {state.hasMoreModules && (
        <p className="mls-empty">
          {trans.__(
            'The first %1 are shown; filter for others.',
            modules.length
          )}
        </p>
      )}
    </div>
  );
}
