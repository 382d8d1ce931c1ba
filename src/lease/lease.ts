// Who may upload a folder? The pipeline asks here before it uploads. For now every folder is ours: the lease on the
// shared volume comes with its own issue, and takes this place.

export interface LeaseView {
  state: 'mine' | 'theirs' | 'free' | 'off';
  holder: string | null;
  epoch: number | null;
}

export interface Leases {
  /** Whether this agent may upload the folder now. */
  holds(folder: string): boolean;
  view(folder: string): LeaseView;
}

export const uncontested: Leases = {
  holds: () => true,
  view: () => ({ state: 'mine', holder: null, epoch: null }),
};
