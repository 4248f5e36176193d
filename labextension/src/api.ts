import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { components } from './wire';

export type Run = components['schemas']['RunView'];
export type Module = components['schemas']['ModuleView'];
export type Cluster = components['schemas']['ClusterView'];

/** What the studio answers when it refuses: a stable code to branch on, and words for people. */
export class StudioError extends Error {
  constructor(
    readonly code: string,
    readonly said: string,
    readonly subject: string,
    readonly hint: string
  ) {
    super(hint ? `${said} (${hint})` : said);
  }
}

const LONGEST_ANSWER_MS = 70_000;

interface IErrorBody {
  error?: { code: string; message: string; subject: string; hint: string };
  message?: string;
}

/**
 * Asks the studio through the Jupyter server, which adds who is asking.
 *
 * @throws StudioError with code `unavailable` where no studio answers, or with the studio's own code.
 */
export async function call<T>(
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  body?: unknown
): Promise<T> {
  const settings = ServerConnection.makeSettings();
  const url = URLExt.join(settings.baseUrl, 'mlstudio', 'api') + '/' + path;
  // A request that never ends, after a laptop slept for example, must not stop the panel for good.
  const signal = AbortSignal.timeout(LONGEST_ANSWER_MS);
  const init: RequestInit = { method, signal };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(url, init, settings);
  } catch (reason) {
    throw new StudioError(
      'unavailable',
      'The Jupyter server does not answer',
      'server',
      String(reason)
    );
  }
  const text = await response.text();
  let data: unknown = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    throw new StudioError(
      'unavailable',
      `Unexpected answer (${response.status})`,
      path,
      ''
    );
  }
  if (!response.ok) {
    const refused = (data ?? {}) as IErrorBody;
    throw refused.error
      ? new StudioError(
          refused.error.code,
          refused.error.message,
          refused.error.subject,
          refused.error.hint
        )
      : new StudioError(
          'unavailable',
          refused.message ?? `Status ${response.status}`,
          path,
          ''
        );
  }
  return data as T;
}

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** A run id made here: 48 bits of time and 80 of randomness, so that asking twice starts one run. */
export function ulid(): string {
  let time = Date.now();
  let head = '';
  for (let i = 0; i < 10; i++) {
    head = CROCKFORD[time % 32] + head;
    time = Math.floor(time / 32);
  }
  const random = crypto.getRandomValues(new Uint8Array(16));
  return head + Array.from(random, byte => CROCKFORD[byte % 32]).join('');
}
