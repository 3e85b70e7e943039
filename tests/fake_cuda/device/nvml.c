/* what the caching allocator asks of NVIDIA's management library: no fabric, no other processes */
int nvmlInit_v2(void){return 0;}
int nvmlDeviceGetHandleByPciBusId_v2(const char*bus,void**device){*device=(void*)1;return 0;}
int nvmlDeviceGetNvLinkRemoteDeviceType(void*d,unsigned link,unsigned*type){return 3;}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void*d,unsigned link,void*pci){return 3;}
int nvmlDeviceGetComputeRunningProcesses(void*d,unsigned*n,void*infos){*n=0;return 0;}
int nvmlSystemGetCudaDriverVersion_v2(int*version){*version=13000;return 0;}
int nvmlDeviceGetGpuFabricInfoV(void*d,void*info){return 0;} /* as given: all zero, not supported */
