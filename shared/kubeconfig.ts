import { parse } from 'yaml';

/** The certificate inside a kubeconfig, as PEM; undefined: it names a file instead, or none. */
export function clientCertificate(kubeconfig: string): string | undefined {
  try {
    const read = parse(kubeconfig) as { users?: { user?: { 'client-certificate-data'?: unknown } }[] } | null;
    const data = read?.users
      ?.map(({ user }) => user?.['client-certificate-data'])
      .find((one) => typeof one === 'string');
    return data === undefined ? undefined : Buffer.from(data as string, 'base64').toString('utf8');
  } catch {
    return undefined;
  }
}
