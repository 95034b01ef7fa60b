import { z } from 'zod';

/** What an agent found out about its node. Sizes are bytes unless a name says otherwise; absent = could not be found out. */
export const Facts = z.object({
  hostname: z.string(),
  os: z.object({
    /** ID of /etc/os-release: `debian`, `ubuntu`, `rocky`, … */
    id: z.string(),
    id_like: z.array(z.string()),
    version: z.string(),
    name: z.string(),
  }),
  /** Kubernetes' spelling: amd64, arm64. */
  architecture: z.string(),
  kernel: z.object({ release: z.string(), version: z.string() }),
  cpu: z.object({ count: z.number(), model: z.string() }),
  memory: z.object({ total: z.number(), available: z.number() }),
  swap: z.object({ total: z.number(), devices: z.array(z.string()) }),
  interfaces: z.array(
    z.object({
      name: z.string(),
      mac: z.string(),
      mtu: z.number(),
      up: z.boolean(),
      /** Mb/s; absent for virtual and unplugged interfaces. */
      speed_mbps: z.number().optional(),
      duplex: z.string().optional(),
      /** CIDR form: 10.77.0.11/24, fe80::1/64. */
      addresses: z.array(z.string()),
    }),
  ),
  filesystems: z.array(
    z.object({
      mount: z.string(),
      device: z.string(),
      type: z.string(),
      total: z.number(),
      available: z.number(),
    }),
  ),
  machine_id: z.string(),
  boot_id: z.string(),
  /** Manufacturer, model and hypervisor where they can be read. */
  system: z.object({ vendor: z.string(), model: z.string(), virtual: z.boolean() }).optional(),
  package_manager: z.enum(['apt', 'dnf', 'yum', 'zypper', 'none']),
  /** Milliseconds the gathering took, and when (wall clock). */
  gathered: z.object({ at_ms: z.number(), took_ms: z.number() }),
  /** Names of the parts above that could not be read, so that their empty values are not taken for findings. */
  missing: z.array(z.string()).optional(),
});
export type Facts = z.infer<typeof Facts>;
