import type { Installer, InstallMessage } from '../../agent/link/installer.ts';
import type { Installation } from '../../shared/protocol/messages.ts';

/** An installation that only notes what it is asked. */
export class FakeInstaller implements Installer {
  readonly asked: InstallMessage[] = [];
  told: Installation = {
    release: '0.1.0-11111111',
    id: '',
    state: 'INSTALL_STATE_UNSPECIFIED',
    error: new Uint8Array(),
  };
  #onChange: () => void = () => {};

  state(): Installation {
    return this.told;
  }

  handle(message: InstallMessage): void {
    this.asked.push(message);
  }

  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  tell(told: Partial<Installation>): void {
    this.told = { ...this.told, ...told };
    this.#onChange();
  }
}
