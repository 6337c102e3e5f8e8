/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI bus of guests that have devices of their own. The addresses are those of core/vpci_layout.h; those
 * of the last window are filled in by core/guest_acpi.c.
 */
DefinitionBlock ("ssdt.aml", "SSDT", 2, "LAMINA", "LAMINAPC", 1)
{
	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_SEG, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0, 0, 1)
				IO (Decode16, 0xCF8, 0xCF8, 0x01, 0x08)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0xC000, 0xFFFF, 0, 0x4000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0, 0xC0000000, 0xE7FFFFFF, 0, 0x28000000)
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					Cacheable, ReadWrite,
					0, 0x100000000, 0x13FFFFFFF, 0, 0x40000000)
			})

			/* INTA to INTD of device n are inputs 16 to 19 of the IOAPIC, by turns. */
			Method (_PRT, 0, NotSerialized)
			{
				Local0 = Package (128) {}
				Local1 = 0
				While (Local1 < 128)
				{
					Local2 = Local1 >> 2
					Local3 = Package (4) { 0, 0, 0, 0 }
					Local3[0] = (Local2 << 16) | 0xFFFF
					Local3[1] = Local1 & 3
					Local3[3] = 16 + ((Local2 + Local1) & 3)
					Local0[Local1] = Local3
					Local1++
				}
				Return (Local0)
			}
		}

		/* Configuration space is nobody else's. */
		Device (ECAM)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, 0xE8000000, 0x00100000)
			})
		}
	}
}
