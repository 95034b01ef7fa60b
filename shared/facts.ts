import { z } from 'zod';

/** The type of a fact with what docs/reference/facts.md says about it. */
const text = (about: string) => z.string().describe(about);
const number = (about: string) => z.number().describe(about);
const flag = (about: string) => z.boolean().describe(about);

/**
 * What an agent found out about its node. Sizes are bytes unless a name says otherwise; absent = could not be found out, or not known to
 * that agent: what was added later is optional.
 */
export const Facts = z.object({
  hostname: text('what the machine calls itself now (`uname -n`)'),
  os: z.object({
    id: text('ID of /etc/os-release: `debian`, `ubuntu`, `rocky`, …'),
    id_like: z.array(z.string()).describe('distributions it is like, the nearest first'),
    version: text('VERSION_ID: `12`, `22.04`, `9.3`'),
    name: text('PRETTY_NAME, for people'),
  }),
  architecture: text("Kubernetes' spelling: `amd64`, `arm64`"),
  kernel: z.object({ release: text('`uname -r`'), version: text('`uname -v`') }),
  cpu: z.object({
    count: number('CPUs that are online, hardware threads each counted'),
    model: text('as /proc/cpuinfo has it; of arm64 the numbers of implementer and part'),
  }),
  memory: z.object({
    total: number('what the kernel has to give'),
    available: number('what could be given out without swapping'),
  }),
  swap: z.object({
    total: number('0: swap is off'),
    devices: z.array(z.string()).describe('files and partitions in use for it'),
  }),
  interfaces: z.array(
    z.object({
      name: text('`eth0`'),
      mac: text('hardware address; empty where there is none'),
      mtu: number('of the largest packet'),
      up: flag('it can be used'),
      speed_mbps: number('Mb/s; absent for virtual and unplugged interfaces').optional(),
      duplex: text('`full` or `half`; absent where nobody knows').optional(),
      addresses: z.array(z.string()).describe('with their prefix: `10.77.0.11/24`, `fe80::1/64`'),
    }),
  ),
  filesystems: z
    .array(
      z.object({
        mount: text('where it is mounted'),
        device: text('what is mounted there'),
        type: text('`ext4`, `xfs`, …'),
        total: number('of it all'),
        available: number('for others than root'),
      }),
    )
    .describe('local ones that keep data, and the root whatever it is'),
  machine_id: text('machine-id(5)'),
  boot_id: text('another one after each boot'),
  system: z
    .object({
      vendor: text('manufacturer'),
      model: text('of the machine'),
      virtual: flag('it is a virtual machine, as far as its hardware tells'),
    })
    .optional(),
  package_manager: z.enum(['apt', 'dnf', 'yum', 'zypper', 'none']).describe('that owns the system'),
  disks: z
    .array(
      z.object({
        name: text('`sda`, `nvme0n1`, `vda`'),
        size: number('of all of it'),
        rotational: flag('it has a head that moves, or says so'),
        removable: flag('its medium can be taken out'),
        model: text('where it has one').optional(),
        partitions: z.array(z.object({ name: text('`sda1`'), size: number('of it') })),
      }),
    )
    .describe('block devices, but for loop devices, RAM disks and those made of others')
    .optional(),
  mounts: z
    .array(
      z.object({
        mount: text('where'),
        device: text('device, or server and path'),
        type: text('`ext4`, `nfs4`, …'),
        options: z.array(z.string()).describe('`rw`, `noatime`, …'),
      }),
    )
    .describe('of devices and of the network, 500 at most; those of the kernel and of containers are left out')
    .optional(),
  routes: z
    .array(
      z.object({
        destination: text('with its prefix; `0.0.0.0/0` and `::/0` are the default'),
        gateway: text('absent: directly').optional(),
        interface: text('through which it goes'),
        metric: number('the lowest wins'),
      }),
    )
    .describe('of the main table, 1000 of each family at most')
    .optional(),
  dmi: z
    .object({
      vendor: text('sys_vendor'),
      product: text('product_name'),
      serial: text('product_serial, where root may read it').optional(),
      uuid: text('product_uuid, where root may read it').optional(),
      bios: text('bios_version').optional(),
    })
    .describe('of /sys/class/dmi/id; absent where there is no DMI (arm64, containers)')
    .optional(),
  virtualization: z
    .object({
      machine: text('`none`, `kvm`, `vmware`, … (systemd-detect-virt)'),
      container: text('`none`, `docker`, `systemd-nspawn`, …'),
    })
    .optional(),
  cgroups: z
    .object({
      version: number('1, also when it is hybrid, or 2'),
      controllers: z.array(z.string()).describe('that can be used: `cpu`, `memory`, …'),
    })
    .optional(),
  time_sync: z
    .object({
      synchronized: flag('the clock was set by another one in this boot; known of systemd-timesyncd alone').optional(),
      service: text(
        'unit that sees to it: `chrony.service`, `systemd-timesyncd.service`, …; absent: none runs',
      ).optional(),
      timezone: text('`UTC`, `Europe/Berlin`'),
    })
    .optional(),
  packages: z
    .record(z.string(), z.string())
    .describe('name to version of those that matter to Kubernetes, as far as they are installed')
    .optional(),
  listening: z
    .array(
      z.object({
        protocol: z.enum(['tcp', 'udp']).describe('of both IP families'),
        address: text('`0.0.0.0`, `127.0.0.1`, `::`; with `%eth0` where it is bound to an interface'),
        port: number('1 to 65535'),
        process: text('name of the program; absent where it is not this machine’s to know').optional(),
        pid: number('of it').optional(),
      }),
    )
    .describe('ports that are listened on, 1000 at most')
    .optional(),
  selinux: z.enum(['enforcing', 'permissive', 'disabled']).describe('of the running kernel').optional(),
  gathered: z.object({ at_ms: number('wall clock, when'), took_ms: number('milliseconds, how long') }),
  missing: z
    .array(z.string())
    .describe('names of the parts above that could not be read, so that their empty values are not taken for findings')
    .optional(),
});
export type Facts = z.infer<typeof Facts>;
