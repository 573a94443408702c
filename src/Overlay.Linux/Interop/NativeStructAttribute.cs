namespace Overlay.Linux.Interop;

/// <summary>Names the C structure that a struct mirrors field by field; the ABI check holds it against the C headers.</summary>
[AttributeUsage(AttributeTargets.Struct)]
internal sealed class NativeStructAttribute(string name) : Attribute
{
    /// <summary>The structure's tag in C.</summary>
    public string Name { get; } = name;
}
