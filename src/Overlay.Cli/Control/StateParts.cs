using Overlay.Rpc.Control;

namespace Overlay.Cli.Control;

/// <summary>What a command that shows a part of the state prints of it as JSON.</summary>
internal static class StateParts
{
    public static GetStateResponse Networks(GetStateResponse state) => Of(state, part => part.Networks.Add(state.Networks));

    public static GetStateResponse Network(GetStateResponse state, string name) => Of(state, part =>
    {
        part.Networks.Add(state.Networks.Where(network => network.Name == name));
        part.Blocks.Add(state.Blocks.Where(block => block.Network == name));
        part.Reservations.Add(state.Reservations.Where(reservation => reservation.Network == name));
        part.Routes.Add(state.Routes.Where(route => route.Network == name));
    });

    public static GetStateResponse Nodes(GetStateResponse state) => Of(state, part => part.Nodes.Add(state.Nodes));

    public static GetStateResponse Node(GetStateResponse state, string name) => Of(state, part =>
    {
        part.Nodes.Add(state.Nodes.Where(node => node.Name == name));
        part.Blocks.Add(state.Blocks.Where(block => block.Holder == name));
        part.Routes.Add(state.Routes.Where(route => route.Node == name));
    });

    /// <param name="network">Empty: any.</param>
    /// <param name="node">Holder; empty: any, or none.</param>
    public static GetStateResponse Blocks(GetStateResponse state, string network, string node) => Of(state, part => part.Blocks.Add(
        state.Blocks.Where(block => (network.Length == 0 || block.Network == network) && (node.Length == 0 || block.Holder == node))));

    private static GetStateResponse Of(GetStateResponse state, Action<GetStateResponse> fill)
    {
        var part = new GetStateResponse { Revision = state.Revision, Store = state.Store };
        fill(part);
        return part;
    }
}
