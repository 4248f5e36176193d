import { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import * as React from 'react';
import { call, Run } from '../api';
import { Commands } from '../commands';

type Values = Record<string, unknown>;

/** One thing a run was asked with, as far as people may see and change it. */
interface IField {
  name: string;
  /** `carried`: its value never leaves where it is stored; what is typed here takes its place. */
  kind: 'parameter' | 'dataset' | 'carried';
  before: unknown;
  /** What kind of value it is, such as "int" or "DataFrame 3 x 2". */
  summary: string;
}

/** Values a person can type; the others are replaced by a dataset's name. */
const TYPED = /^(int|float|str|bool|None|(list|dict|tuple|set) of .*)$/;

function isDataset(field: IField): boolean {
  return (
    field.kind === 'dataset' ||
    (field.kind === 'carried' && !TYPED.test(field.summary))
  );
}

function fieldsOf(run: Run): IField[] {
  const asked = (run.request ?? {}) as Record<string, Values | undefined>;
  const fields: IField[] = [];
  for (const [name, before] of Object.entries(asked.parameters ?? {})) {
    fields.push({ name, kind: 'parameter', before, summary: '' });
  }
  for (const [name, before] of Object.entries(asked.datasets ?? {})) {
    fields.push({ name, kind: 'dataset', before, summary: '' });
  }
  for (const [key, summary] of Object.entries(asked.inputs ?? {})) {
    const name = key.slice(key.indexOf(':') + 1);
    if (!fields.some(field => field.name === name)) {
      fields.push({
        name,
        kind: 'carried',
        before: asked.arguments?.[name],
        summary: String(summary)
      });
    }
  }
  return fields;
}

/** What a person typed, as the JSON value it spells, else as text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** A form prefilled from the run; only what was changed is sent, everything else is carried over. */
export function CloneForm(props: {
  run: Run;
  commands: CommandRegistry;
  trans: TranslationBundle;
  close: () => void;
}): JSX.Element {
  const { run, commands, trans, close } = props;
  const [fields, setFields] = React.useState<IField[] | null>(null);
  const [values, setValues] = React.useState<Record<string, string>>({});
  const [error, setError] = React.useState('');
  const [busy, setBusy] = React.useState(false);
  const form = React.useRef<HTMLFormElement>(null);

  React.useEffect(() => {
    call<Run>('GET', `runs/${run.id}`)
      .then(whole => {
        const found = fieldsOf(whole);
        setFields(found);
        setValues(
          Object.fromEntries(
            found.map(field => [field.name, shown(field.before)])
          )
        );
      })
      .catch(reason => setError(String(reason.message ?? reason)));
  }, [run.id]);

  React.useEffect(() => {
    const first = form.current?.querySelector<HTMLElement>('input, button');
    first?.focus({ preventScroll: true });
    form.current?.scrollIntoView({ block: 'nearest' });
  }, [fields === null]);

  const isChanged = (field: IField) =>
    values[field.name] !== shown(field.before);

  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    if (fields === null || busy) {
      return;
    }
    setBusy(true);
    setError('');
    const set: Values = {};
    const input: Record<string, string> = {};
    for (const field of fields.filter(isChanged)) {
      const text = values[field.name];
      if (isDataset(field)) {
        input[field.name] = text;
      } else {
        const isText =
          typeof field.before === 'string' || field.summary === 'str';
        set[field.name] = isText ? text : parsed(text);
      }
    }
    try {
      await commands.execute(Commands.clone, {
        id: run.id,
        set,
        input
      } as never);
      close();
    } catch (reason) {
      setError(reason instanceof Error ? reason.message : String(reason));
      setBusy(false);
    }
  };

  return (
    <form
      className="mls-form"
      ref={form}
      onSubmit={submit}
      onKeyDown={event => event.key === 'Escape' && close()}
      aria-label={trans.__('Clone run %1', String(run.number))}
    >
      {fields?.map(field => (
        <label
          key={field.name}
          className={isChanged(field) ? 'mls-changed' : ''}
        >
          <span className="mls-row">
            <span className="mls-name" title={field.name}>
              {field.name}
            </span>
            <span className="mls-quiet">{field.summary}</span>
          </span>
          <input
            className="mls-input"
            name={field.name}
            value={values[field.name]}
            placeholder={
              isDataset(field)
                ? trans.__('as it was, or a dataset')
                : field.kind === 'carried'
                  ? trans.__('as it was')
                  : ''
            }
            spellCheck={false}
            autoComplete="off"
            onChange={event =>
              setValues({ ...values, [field.name]: event.target.value })
            }
          />
        </label>
      ))}
      {fields !== null && (
        <p className="mls-note">
          {fields.length
            ? trans.__('What you leave is carried over as it was.')
            : trans.__('It has no parameters; it runs once more as it was.')}
        </p>
      )}
      {error && (
        <p className="mls-error" role="alert">
          {error}
        </p>
      )}
      <div className="mls-buttons">
        <button
          type="submit"
          className="mls-button mls-button-main"
          disabled={busy || fields === null}
        >
          {trans.__('Run')}
        </button>
        <button type="button" className="mls-button" onClick={close}>
          {trans.__('Close')}
        </button>
      </div>
    </form>
  );
}
