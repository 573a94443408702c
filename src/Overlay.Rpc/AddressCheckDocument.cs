namespace Overlay.Rpc;

/// <summary>What the local API answers when it is asked to check the node's addresses.</summary>
/// <param name="Pods">Interfaces of containers that were looked at.</param>
/// <param name="Addresses">Addresses that are held.</param>
/// <param name="Problems">What contradicts; empty where nothing does.</param>
public sealed record AddressCheckDocument(int Pods, int Addresses, IReadOnlyList<string> Problems);
