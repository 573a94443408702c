namespace Overlay.Bench;

/// <summary>The tunnel header of the benchmarks that have one.</summary>
public enum Encapsulation
{
    Vxlan,
}
