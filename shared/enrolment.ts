/** The one request an agent makes before it has a certificate: `POST /enrol`, JSON both ways. */
import { z } from 'zod';

/** Largest accepted body of a request in bytes: a CSR is about 500. */
export const ENROL_BODY_LIMIT = 8 * 1024;

const word = z.string().max(200);

/** What a machine says of itself when it joins, for the person who approves it. Memory in bytes. */
export const machineWordSchema = z.strictObject({
  hostname: word,
  os: word,
  kernel: word,
  arch: word,
  /** Of the agent. */
  version: word,
  cpus: z.int().min(0).max(1_000_000),
  memory: z.number().min(0),
});
export type MachineWord = z.infer<typeof machineWordSchema>;

/** What an agent sends, after it has recognised the controller by the token's CA hash. */
export const enrolRequestSchema = z.strictObject({
  /** The whole text of the join token. */
  token: z.string().min(1).max(256),
  /** The name the node wants; the token may prescribe another, the controller then refuses. */
  name: z.string().min(1).max(253),
  /** PKCS #10, PEM. Only its public key is used. */
  csr: z.string().min(1).max(4096),
  /** /etc/machine-id, to tell a clone from the machine itself. */
  machineId: z.string().min(1).max(128),
  /** /proc/sys/kernel/random/boot_id. */
  bootId: z.string().min(1).max(128),
  machine: machineWordSchema.optional(),
});
export type EnrolRequest = z.infer<typeof enrolRequestSchema>;

/**
 * What the controller answers with status 200. A refusal is an ErrorReport with status 403 (or 400, 409); with 202 its code is
 * {@link JOIN_PENDING}: a person has to approve the join, and the agent asks again.
 */
export const enrolAnswerSchema = z.object({
  name: z.string(),
  fleetId: z.string(),
  /** PEM: the node's certificate, then the issuing CA. */
  certificate: z.string(),
  /** PEM: the CAs to trust. */
  bundle: z.string(),
  /** Where to connect from now on, best first: `https://host:port`. */
  endpoints: z.array(z.string()),
  /** Version of `bundle`; Welcome brings newer ones. */
  version: z.number().int().positive(),
});
export type EnrolAnswer = z.infer<typeof enrolAnswerSchema>;

/** Asked again with the same token and key, it may be answered otherwise. */
export const JOIN_PENDING = 'JOIN_PENDING';

/** How a refusal reads; what else is in it is ignored. */
export const refusalSchema = z.object({
  code: z.string(),
  message: z.string(),
  remedy: z.string(),
});
