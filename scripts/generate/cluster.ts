import { type Setting, settingsOf } from '../../controller/cluster/index.ts';
import { cell } from './markdown.ts';

/** The page of what can be set of a cluster. */
export async function clusterPage(): Promise<string> {
  const settings = settingsOf();
  const [single, groups] = [
    settings.filter(isTopLevel),
    settings.filter(({ path, isGroup }) => isGroup && !path.includes('.')),
  ];
  const sections = groups.map(({ path, about }) => {
    const own = settings.filter((setting) => setting.path.startsWith(`${path}.`) && !setting.isGroup);
    return `## ${path}\n\n${about === undefined ? '' : `${about}.\n\n`}${table(own)}`;
  });
  return `# The settings of a cluster

Made by \`npm run generate\` from [controller/cluster](../../controller/cluster). They stand under \`spec.config\` of a plan whose playbook
says \`config: cluster\`, as create-cluster does; [plan.md](../plan.md#the-settings-of-a-cluster) says how they are checked.
\`kk-controller config defaults\` prints them as YAML.

${table(single)}
${sections.join('\n')}`;
}

function isTopLevel({ path, isGroup }: Setting): boolean {
  return !isGroup && !path.includes('.');
}

function table(settings: readonly Setting[]): string {
  const rows = settings.map(({ path, default: usual, about, choices }) => {
    const notes = [choices?.map((choice) => `\`${choice === '' ? '""' : choice}\``).join(' or '), about].filter(
      (note) => note,
    );
    return `| \`${path}\` | \`${cell(JSON.stringify(usual))}\` | ${cell(notes.join('; '))} |`;
  });
  return `| setting | default | |\n|---|---|---|\n${rows.join('\n')}\n`;
}
