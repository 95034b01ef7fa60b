/** What a request for a certificate (PKCS #10) of a cluster asks for. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { normalSans } from '../../shared/actions/certificate-names.ts';
import { readCsr } from './certs.ts';

/** A request whose signature is by the key it carries, with the names that it asks for. */
export type RequestVerdict =
  | { ok: true; publicKey: Buffer; subject: { [field: string]: string[] }; sans: string[] }
  | { ok: false; why: string };

/**
 * Reads a request. The names are told so that they can be held against those that the plan states: they give no right to
 * anything. `subject`: every field, by its short name; `sans`: in normal form.
 */
export async function readRequest(pem: string): Promise<RequestVerdict> {
  const verdict = await readCsr(pem);
  if (!verdict.ok) return verdict;
  const request = new x509.Pkcs10CertificateRequest(pem);
  const subject: { [field: string]: string[] } = {};
  for (const part of request.subjectName.toJSON())
    for (const [field, values] of Object.entries(part)) subject[field] = [...(subject[field] ?? []), ...values];
  const names = request.extensions.flatMap((extension) =>
    extension instanceof x509.SubjectAlternativeNameExtension ? extension.names.items : [],
  );
  return { ...verdict, subject, sans: normalSans(names.map(({ type, value }) => `${type.toUpperCase()}:${value}`)) };
}
